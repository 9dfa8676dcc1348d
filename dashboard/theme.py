"""The colours, light and dark, safe for colour-blind people, and the style sheet that is made of them."""

from dataclasses import asdict, dataclass
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True, slots=True)
class Palette:
    """Good is a blue-leaning teal and flagged an orange, which stay apart for every kind of colour blindness.

    `.streamlit/config.toml` says the same colours to Streamlit's own widgets.
    """

    name: str
    background: str
    surface: str
    well: str  # behind pictures
    border: str
    ink: str
    quiet: str
    accent: str
    band: str
    good: str
    good_wash: str
    flag: str
    flag_wash: str
    bad: str
    bad_wash: str
    idle: str
    idle_wash: str


LIGHT = Palette(
    name="light",
    background="#f3f5f7",
    surface="#ffffff",
    well="#e6eaee",
    border="#d8dee5",
    ink="#17212b",
    quiet="#5a6876",
    accent="#1f6aa5",
    band="#1f6aa522",
    good="#09726d",
    good_wash="#e0f3f1",
    flag="#a25000",
    flag_wash="#fdeedb",
    bad="#b3202c",
    bad_wash="#fbe3e4",
    idle="#5a6876",
    idle_wash="#e9edf1",
)

DARK = Palette(
    name="dark",
    background="#0d1217",
    surface="#151c23",
    well="#0a0e12",
    border="#27323d",
    ink="#e6ebf0",
    quiet="#93a1af",
    accent="#62aee6",
    band="#62aee626",
    good="#3cc4b6",
    good_wash="#10302f",
    flag="#f5a742",
    flag_wash="#38280f",
    bad="#ff7b7b",
    bad_wash="#41191d",
    idle="#93a1af",
    idle_wash="#212a33",
)


def palette(kind: str | None) -> Palette:
    """The palette of Streamlit's theme type ``light`` or ``dark``; light while the browser has not said."""
    return DARK if kind == "dark" else LIGHT


def style_sheet(colours: Palette) -> str:
    """One style element: the palette as custom properties, then ``assets/andon.css``."""
    properties = "".join(
        f"--andon-{name.replace('_', '-')}:{value};" for name, value in asdict(colours).items() if name != "name"
    )
    return f"<style>:root{{{properties}}}\n{(ASSETS / 'andon.css').read_text(encoding='utf-8')}</style>"


def desk_sheet() -> str:
    """What the pages on which people change things add: ``assets/desk.css``."""
    return f"<style>{(ASSETS / 'desk.css').read_text(encoding='utf-8')}</style>"

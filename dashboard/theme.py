"""The colours, light and dark and safe for colour-blind people, and the style sheet made of them."""

from dataclasses import asdict, dataclass
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one theme: good is a teal, borderline an amber, flagged an orange and a bad picture a violet.

    They are distinct for every kind of colour blindness, and none is shown without its icon.

    `app/.streamlit/config.toml` gives the same colours to Streamlit's own widgets.
    """

    name: str
    background: str
    surface: str
    image_background: str
    border: str
    text: str
    secondary_text: str
    accent: str
    good: str
    good_tint: str
    flag: str
    flag_tint: str
    borderline: str
    borderline_tint: str
    borderline_mark: str  # bars and lines, which need less contrast than text
    bad: str
    bad_tint: str
    idle: str
    idle_tint: str
    unseen: str  # bad pictures, which show no part
    unseen_tint: str


LIGHT = Palette(
    name="light",
    background="#f3f5f7",
    surface="#ffffff",
    image_background="#e6eaee",
    border="#d8dee5",
    text="#17212b",
    secondary_text="#5a6876",
    accent="#1f6aa5",
    good="#09726d",
    good_tint="#e0f3f1",
    flag="#a25000",
    flag_tint="#fdeedb",
    borderline="#7a5c00",
    borderline_tint="#ffeeb0",
    borderline_mark="#b88700",
    bad="#b3202c",
    bad_tint="#fbe3e4",
    idle="#5a6876",
    idle_tint="#e9edf1",
    unseen="#6b3fa0",
    unseen_tint="#f0e8f9",
)

DARK = Palette(
    name="dark",
    background="#0d1217",
    surface="#151c23",
    image_background="#0a0e12",
    border="#27323d",
    text="#e6ebf0",
    secondary_text="#93a1af",
    accent="#62aee6",
    good="#3cc4b6",
    good_tint="#10302f",
    flag="#f5a742",
    flag_tint="#38280f",
    borderline="#f0d648",
    borderline_tint="#37310c",
    borderline_mark="#f0d648",
    bad="#ff7b7b",
    bad_tint="#41191d",
    idle="#93a1af",
    idle_tint="#212a33",
    unseen="#c4a1f5",
    unseen_tint="#2c2140",
)


def palette(theme_type: str | None) -> Palette:
    """Return the palette of Streamlit's theme type, ``light`` or ``dark``; light while the browser has not sent one."""
    return DARK if theme_type == "dark" else LIGHT


def logo(colours: Palette) -> Path:
    """Return the path of the logo for a palette."""
    return ASSETS / f"logo-{colours.name}.svg"


def style_sheet(colours: Palette) -> str:
    """Return one style element: the palette as custom properties, then ``assets/andon.css``."""
    properties = "".join(
        f"--andon-{name.replace('_', '-')}:{value};" for name, value in asdict(colours).items() if name != "name"
    )
    return f"<style>:root{{{properties}}}\n{(ASSETS / 'andon.css').read_text(encoding='utf-8')}</style>"

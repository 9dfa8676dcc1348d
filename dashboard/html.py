"""The pages' HTML, made by Jinja2 from templates that lie beside the pages.

Every value is escaped unless it is `Markup` already, so text that a camera, a producer or a person wrote can't become
markup. A template file holds named macros; the typed functions of the pages call them through `render`.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dashboard import formatting

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_ENVIRONMENT.filters |= {"count": formatting.count, "plural": formatting.plural, "score": formatting.score}


def render(template: str, macro: str, *values: object) -> Markup:
    """Return the HTML of one macro.

    Args:
        template: Path of the template below ``dashboard/``, such as ``wall/tile.html``.
        macro: Name of a macro in that template.
        values: The arguments of the macro, in its order.

    Raises:
        jinja2.UndefinedError: A name in the macro has no value.
    """
    html: Markup = getattr(_ENVIRONMENT.get_template(template).module, macro)(*values)
    return html.strip()

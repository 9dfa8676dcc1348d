"""The outputs by kind: those of this package, and those that other packages register.

A package adds a kind by an entry point in the group ``andon.outputs`` whose object is a `CreateOutput`:

    [project.entry-points."andon.outputs"]
    beacon = "my_package.beacon:create_beacon"
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from foundation.errors import AndonError, PluginError
from foundation.plugins import load_plugin, plugin_names
from outputs.errors import OutputMisconfigured, UnknownOutput
from outputs.json_lines import create_json_lines
from outputs.protocol import CreateOutput, Output

ENTRY_POINT_GROUP = "andon.outputs"

OUTPUTS: Mapping[str, CreateOutput] = {
    "json_lines": create_json_lines,
}
"""Kind → how to create it; another package can't replace one of these."""


def create_output(name: str, settings: Mapping[str, Any]) -> Output:
    """Create the output of the table ``[outputs.NAME]``; it connects when it sends.

    Raises:
        UnknownOutput: No output of that kind exists.
        OutputMisconfigured: The table has no kind, or its keys are not what the kind needs.
        PluginError: The kind is another package's, and that package does not work.
    """
    kind = settings.get("kind")
    if not isinstance(kind, str):
        raise OutputMisconfigured(f"The output {name} has no kind: set outputs.{name}.kind to {_known_kinds()}.")
    create = OUTPUTS.get(kind) or load_plugin(ENTRY_POINT_GROUP, kind)
    if create is None:
        raise UnknownOutput(f"There is no output of the kind {kind!r}: set outputs.{name}.kind to {_known_kinds()}.")
    keys = {key: value for key, value in settings.items() if key != "kind"}
    try:
        output: Output = create(keys)
    except AndonError:
        raise
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        key = ".".join(str(part) for part in ("outputs", name, *first["loc"]))
        raise OutputMisconfigured(f"The setting {key} is not valid: {first['msg']}.") from None
    except Exception as error:  # another package's code may raise anything
        raise PluginError(
            f"The output plug-in {kind!r} can't be created ({type(error).__name__}: {error}); "
            f"check outputs.{name}, or update its package."
        ) from error
    if missing := [method for method in ("send", "close") if not callable(getattr(output, method, None))]:
        raise PluginError(f"The output plug-in {kind!r} lacks {', '.join(missing)}; update its package.")
    return output


def _known_kinds() -> str:
    return " or ".join([*OUTPUTS, *plugin_names(ENTRY_POINT_GROUP)])

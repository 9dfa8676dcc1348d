"""Settings: one class per package, read once at the entry point from defaults, andon.toml and the environment.

The environment overrides the file, and the file overrides the defaults. An unknown key or variable is an error.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from alerts.settings import AlertsSettings
from andon.errors import InvalidSettings
from dashboard.app.settings import DashboardSettings
from foundation.masking import MASK, SECRET_WORDS, mask_secrets
from ingest.settings import IngestSettings
from outputs.settings import OutputsSettings
from scorer.settings import ScorerSettings
from storage.settings import StorageSettings

DEFAULT_FILE = Path("andon.toml")
FILE_VARIABLE = "ANDON_CONFIG"
NAME_VARIABLE, PASSWORD_VARIABLE = "ANDON_USER", "ANDON_PASSWORD"  # who runs a command; docs/adr/0019
OTHER_VARIABLES = (FILE_VARIABLE, NAME_VARIABLE, PASSWORD_VARIABLE)
SERVICE_LINK = re.compile(
    r"ANDON(_[A-Z0-9]+)*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9]+)*|PORT_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)"
)
OUTPUT_VARIABLE = re.compile(r"ANDON_OUTPUTS__(?P<output>[A-Z0-9_]+?)__(?P<key>[A-Z0-9_]+)")
SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


class ProcessSettings(BaseModel):
    """Settings of every process of Andon, whichever package it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="TCP port on which produce, score and dashboard serve /metrics, /livez and /readyz, for example "
        "9464; 0 serves none.",
    )
    metrics_host: str = Field(
        "127.0.0.1",
        description="Address on which they are served; 0.0.0.0 lets a Prometheus on another machine read them.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least grave log line that is written, for example warning."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="How log lines look on stderr: text, json, or auto for text on a terminal and json else."
    )


class Settings(BaseSettings):
    """The settings of every package; `load_settings` reads them."""

    model_config = SettingsConfigDict(
        env_prefix="ANDON_", env_nested_delimiter="__", env_ignore_empty=True, extra="forbid", frozen=True
    )

    andon: ProcessSettings = ProcessSettings()
    ingest: IngestSettings = IngestSettings()
    storage: StorageSettings = StorageSettings()
    scorer: ScorerSettings = ScorerSettings()
    alerts: AlertsSettings = AlertsSettings()
    outputs: OutputsSettings = OutputsSettings()
    dashboard: DashboardSettings = DashboardSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources: the environment, then what `load_settings` read from the file."""
        return env_settings, init_settings


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings as read, with the origin of each that is not a default; `file` is None without a file."""

    settings: Settings
    file: Path | None
    origins: Mapping[str, str]  # "ingest.bus" → "andon.toml" or "ANDON_INGEST__BUS"


def load_settings(file: Path | None = None) -> LoadedSettings:
    """Read the settings; `file` or else ANDON_CONFIG names the file, else ./andon.toml if it exists.

    Raises `InvalidSettings` for a file that can't be read, an unknown key or variable, and a value that can't be meant.
    """
    path = _file_to_read(file)
    tables = {} if path is None else _read(path)
    origins = {} if path is None else {name: str(path) for name in _names_in(path, tables)}
    origins |= {name: variable for variable, name in _variables_set()}
    try:
        settings = Settings(**tables)
    except ValidationError as error:
        raise InvalidSettings(_first_of(error, origins)) from None
    return LoadedSettings(settings, path, origins)


def known_settings() -> Mapping[str, FieldInfo]:
    """Return every setting by its dotted name, such as ``ingest.bus``, in the order of the classes and fields."""
    return {
        f"{section}.{name}": field
        for section, info in Settings.model_fields.items()
        for name, field in _section_fields(info).items()
    }


def environment_variable(name: str) -> str:
    """Return the environment variable of a setting: ``ingest.bus`` → ``ANDON_INGEST__BUS``."""
    return "ANDON_" + name.replace(".", "__").upper()


def display_value(value: object) -> str | int | float | bool | None:
    """Return a setting's value for display and JSON, with secrets masked, also those inside a URL."""
    if isinstance(value, SecretStr):
        return MASK
    if value is None or isinstance(value, bool | int | float):
        return value
    return mask_secrets(str(value))


def settings_in_force(settings: Settings) -> Mapping[str, object]:
    """Return the value of every setting by its dotted name, and of the outputs' keys, such as ``outputs.file.kind``."""
    values = {
        name: getattr(getattr(settings, name.partition(".")[0]), name.partition(".")[2]) for name in known_settings()
    }
    outputs = {
        f"outputs.{output}.{key}": SecretStr(str(value)) if re.search(SECRET_WORDS, key, re.IGNORECASE) else value
        for output, table in settings.outputs.tables.items()
        for key, value in table.items()
    }
    return values | outputs


def _section_fields(info: FieldInfo) -> Mapping[str, FieldInfo]:
    section = info.annotation
    assert isinstance(section, type)
    assert issubclass(section, BaseModel)
    return section.model_fields


def _file_to_read(file: Path | None) -> Path | None:
    named = file if file is not None else os.environ.get(FILE_VARIABLE)
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InvalidSettings(f"There is no settings file {path}; `andon config --example` prints one.") from None
    except OSError as error:
        raise InvalidSettings(f"The settings file {path} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidSettings(f"The settings file {path} is not UTF-8 text.") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"The settings file {path} is not TOML: {error}.") from None


def _names_in(path: Path, tables: Mapping[str, Any]) -> Iterator[str]:
    names = known_settings()
    for section, table in tables.items():
        if section not in Settings.model_fields:
            raise InvalidSettings(
                f"{path} has an unknown key {section}; the nearest known one is {closest_name(section, names)}."
            )
        if not isinstance(table, dict):
            raise InvalidSettings(
                f"{path} gives {section} a value, but it is a section: write [{section}] above its keys."
            )
        for key, value in table.items():
            name = f"{section}.{key}"
            if section == "outputs" and isinstance(value, dict):
                yield from (f"{name}.{inner}" for inner in value)
                continue
            if name not in names:
                raise InvalidSettings(
                    f"{path} has an unknown key {name}; the nearest known one is {closest_name(name, names)}."
                )
            yield name


def _variables_set() -> Iterator[tuple[str, str]]:
    """Yield variable and setting of each ANDON_ variable with a value; raises `InvalidSettings` for an unknown one."""
    names = {environment_variable(name): name for name in known_settings()}
    for spelled, value in os.environ.items():
        capital = spelled.upper()
        if not capital.startswith("ANDON_") or capital in OTHER_VARIABLES or _is_foreign(capital, value):
            continue
        output = OUTPUT_VARIABLE.fullmatch(capital)
        name = names.get(capital) if output is None else f"outputs.{output['output']}.{output['key']}".lower()
        if name is None:
            nearest = closest_name(capital, [*names, *OTHER_VARIABLES])
            raise InvalidSettings(f"{spelled} is not a setting; the nearest known one is {nearest}.")
        if value:
            yield spelled, name


def _is_foreign(capital: str, value: str) -> bool:
    """Return whether a variable is the test suite's, or one that Kubernetes sets for a service named andon (ADR 13)."""
    return (
        capital.startswith("ANDON_TEST_")
        or SERVICE_LINK.fullmatch(capital) is not None
        or (capital.endswith("_PORT") and "__" not in capital and SERVICE_ADDRESS.match(value) is not None)
    )


def closest_name(name: str, names: Iterable[str]) -> str:
    """Return the known name that is most similar to `name`; one with the same last part comes first."""
    candidates = list(names)
    last = re.split(r"\.|__", name)[-1]
    same_end = [candidate for candidate in candidates if re.split(r"\.|__", candidate)[-1] == last]
    return difflib.get_close_matches(name, same_end or candidates, n=1, cutoff=0.0)[0]


def _first_of(error: ValidationError, origins: Mapping[str, str]) -> str:
    """Return one sentence about the first error, without secrets, and the number of further ones."""
    details = error.errors(include_url=False, include_context=False)
    first = details[0]
    name = ".".join(str(part) for part in first["loc"][:2])
    reads = "" if _may_hold_a_secret(name) else f" to {str(first['input'])[:80]!r}"
    more = f" ({len(details) - 1} more after this)" if len(details) > 1 else ""
    message = re.sub(r"\s+", " ", first["msg"]).removeprefix("Value error, ").rstrip(".")
    inside = (origin for key, origin in origins.items() if key.startswith(f"{name}."))
    return f"{origins.get(name) or next(inside, 'The environment')} sets {name}{reads}, but: {message}{more}."


def _may_hold_a_secret(name: str) -> bool:
    return (
        name == "outputs"
        or name.endswith("_url")
        or (name in known_settings() and "SecretStr" in str(known_settings()[name].annotation))
    )

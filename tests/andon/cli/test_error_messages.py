"""Wrong input ends with exit code 1 or 2 and one sentence on stderr that names what is wrong, never a traceback."""

from pathlib import Path

import pytest
from typer import TyperException

from andon.errors import CommandFailed, InvalidSettings
from ingest.errors import SourceError
from storage.errors import InvalidChange, NotFound, StorageError, StorageUnavailable
from testing.command_line import Andon


@pytest.mark.parametrize(
    ("command", "error", "named"),
    [
        ("statoin list", TyperException, "station"),
        ("station add", TyperException, "name"),
        ("station add s1 s2", TyperException, "s2"),
        ("station add s1 --framing round", TyperException, "round"),
        ("station add s1 --stale-after soon", TyperException, "--stale-after"),
        ("station add s1 --false-reject-rate 2", TyperException, "--false-reject-rate"),
        ("station add s1 --false-reject-rate 0", InvalidChange, "0"),
        ("station add s1 --stale-after nan", TyperException, "--stale-after"),
        ("station add Söder", InvalidChange, "Söder"),
        ("station add there", InvalidChange, "there"),
        ("station show gone", NotFound, "gone"),
        ("station edit gone --object x", NotFound, "gone"),
        ("normals add there", TyperException, "PATH"),
        ("normals add gone empty", NotFound, "gone"),
        ("normals add there nowhere", CommandFailed, "nowhere"),
        ("normals add there empty", CommandFailed, "empty"),
        ("normals add there empty --limit 1", TyperException, "--limit"),
        ("normals show there", CommandFailed, "there"),
        ("normals activate there 7", NotFound, "7"),
        ("normals activate there first", TyperException, "version"),
        ("normals rollback there", InvalidChange, "there"),
        ("verdicts gone", NotFound, "gone"),
        ("verdicts --since yesterday", TyperException, "yesterday"),
        ("verdicts --limit 0", TyperException, "--limit"),
        ("verdicts --limit 99999999999999999999", TyperException, "--limit"),
        ("verdicts --since 0001-01-01T00:00+14:00", TyperException, "--since"),
        ("verdicts --since 9999w", TyperException, "9999w"),
        ("verdicts --since 999999999999w", TyperException, "999999999999w"),
        ("verdicts --since 9999-12-31T23:59:59-14:00", TyperException, "9999"),
        ("dead-letters show 99999999999999999999", TyperException, "ID"),
        ("dead-letters show 9223372036854775807", NotFound, "9223372036854775807"),
        ("normals activate there 2147483648", TyperException, "version"),
        ("normals activate there 2147483647", NotFound, "2147483647"),
        ("dead-letters show 7", NotFound, "7"),
        ("dead-letters replay 7", NotFound, "7"),
        ("dead-letters replay", TyperException, "--all"),
        ("dead-letters replay 7 --all", TyperException, "--all"),
        ("dead-letters replay 7 --reason no-headers", TyperException, "--all"),
        ("dead-letters replay --all --reason no-headers", CommandFailed, "no-headers"),
        ("produce there", TyperException, "--source"),
        ("produce there --source camera", SourceError, "camera"),
        ("produce there --source tape:x", SourceError, "tape"),
        ("produce there --source folder:nowhere", SourceError, "nowhere"),
        ("produce there --source replay:nowhere", SourceError, "nowhere"),
        ("produce there --source replay:empty", SourceError, "empty"),
        ("produce gone --source replay:empty", NotFound, "gone"),
        ("produce there --source replay:empty --rate 0", TyperException, "--rate"),
        ("produce there --source replay:empty --limit 0", TyperException, "--limit"),
        ("score --metrics-port 70000", TyperException, "--metrics-port"),
        ("--config nowhere.toml config", InvalidSettings, "nowhere.toml"),
        ("--config bad.toml station list", InvalidSettings, "ingest.buss"),
    ],
)
def test_invalid_input_is_refused_in_one_sentence_that_names_it(
    command: str, error: type[Exception], named: str, andon: Andon, workplace: Path
) -> None:
    (workplace / "bad.toml").write_text("[ingest]\nbuss = 1\n", encoding="utf-8")
    (workplace / "empty").mkdir()
    andon("station", "add", "there")
    finished = andon(*command.split())
    assert isinstance(finished.error, error)
    assert finished.code == (2 if error is TyperException else 1)
    assert len(finished.err.splitlines()) == 1
    assert finished.err.startswith("andon: ")
    assert named in finished.err
    assert finished.out == ""


@pytest.mark.parametrize(
    ("variable", "value", "error", "named"),
    [
        ("ANDON_STORAGE__DATABASE_URL", "mysql://host/andon", InvalidSettings, "mysql"),
        (
            "ANDON_STORAGE__DATABASE_URL",
            "postgresql+psycopg://andon@127.0.0.1:1/andon",
            StorageUnavailable,
            "127.0.0.1:1",
        ),
        ("ANDON_STORAGE__DATABASE_URL", "sqlite:////proc/andon.db", StorageError, "/proc/andon.db"),
        ("ANDON_INGEST__BUS", "carrier-pigeon", InvalidSettings, "carrier-pigeon"),
        ("ANDON_NO_SUCH__THING", "1", InvalidSettings, "ANDON_NO_SUCH__THING"),
    ],
)
def test_an_invalid_setting_is_refused_in_one_sentence_that_names_it(
    variable: str, value: str, error: type[Exception], named: str, andon: Andon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    finished = andon("station", "list")
    assert isinstance(finished.error, error)
    assert (finished.code, len(finished.err.splitlines())) == (1, 1)
    assert named in finished.err
    assert finished.out == ""


def test_an_unexpected_error_is_one_sentence_unless_debug_is_set(andon: Andon, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_lookup_error(*_: object) -> None:
        raise LookupError("a drawer\nis missing")

    monkeypatch.setattr("storage.line.stations.list_all", raise_lookup_error)
    finished = andon("station", "list")
    assert finished.code == 1
    assert len(finished.err.splitlines()) == 1
    assert "LookupError: a drawer is missing" in finished.err
    with pytest.raises(LookupError):
        andon("--debug", "station", "list")


@pytest.mark.parametrize(
    ("module", "command", "extra"),
    [("torch", "score", "scorer"), ("scipy.stats", "kpi", "alerts"), ("skimage", "produce", "simulated")],
)
def test_a_missing_library_names_the_extra_that_installs_it(
    module: str, command: str, extra: str, andon: Andon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_module_not_found(*_: object, **__: object) -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr("andon.cli.context.CommandContext.settings", raise_module_not_found)
    finished = andon(*command.split(), *(["s1", "--source", "simulated:brick"] if command == "produce" else []))
    assert finished.code == 1
    assert finished.err == f"andon: andon {command} needs the {extra} extra: pip install 'andon-inspection[{extra}]'\n"

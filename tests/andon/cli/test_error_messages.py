"""Whatever is asked wrongly ends with exit code 1 or 2 and one sentence on stderr, never with a traceback."""

from pathlib import Path

import pytest

from testing.command_line import Andon

USAGE = 2
CAN_NOT = 1


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("statoin list", USAGE, "Did you mean 'station'"),
        ("station add", USAGE, "Missing argument 'name'"),
        ("station add s1 s2", USAGE, "unexpected extra argument"),
        ("station add s1 --framing round", USAGE, "'round'"),
        ("station add s1 --stale-after soon", USAGE, "'--stale-after'"),
        ("station add s1 --false-reject-rate 2", USAGE, "less than or equal to 1"),
        ("station add s1 --false-reject-rate 0", CAN_NOT, "share between 0 and 1"),
        ("station add s1 --stale-after nan", USAGE, "'--stale-after'"),
        ("station add Söder", CAN_NOT, "can't name a station"),
        ("station add there", CAN_NOT, "is there already"),
        ("station show gone", CAN_NOT, "there are there"),
        ("station edit gone --object x", CAN_NOT, "There is no station 'gone'"),
        ("normals add there", USAGE, "Missing argument"),
        ("normals add gone empty", CAN_NOT, "There is no station 'gone'"),
        ("normals add there nowhere", CAN_NOT, "no file or folder nowhere"),
        ("normals add there empty", CAN_NOT, "holds no"),
        ("normals add there empty --limit 1", USAGE, "'--limit'"),
        ("normals show there", CAN_NOT, "no active normal set"),
        ("normals activate there 7", CAN_NOT, "no normal set 7"),
        ("normals activate there first", USAGE, "'version'"),
        ("normals rollback there", CAN_NOT, "nothing to roll back to"),
        ("verdicts gone", CAN_NOT, "There is no station 'gone'"),
        ("verdicts --since yesterday", USAGE, "'yesterday' is no time"),
        ("verdicts --limit 0", USAGE, "'--limit'"),
        ("dead-letters show 7", CAN_NOT, "7"),
        ("dead-letters replay 7", CAN_NOT, "7"),
        ("dead-letters replay", USAGE, "say --all"),
        ("dead-letters replay 7 --all", USAGE, "say --all"),
        ("dead-letters replay 7 --reason no-headers", USAGE, "say --all"),
        ("dead-letters replay --all --reason no-headers", CAN_NOT, "No dead letter has the reason no-headers"),
        ("produce there", USAGE, "--source"),
        ("produce there --source camera", CAN_NOT, "There is no source 'camera'"),
        ("produce there --source tape:x", CAN_NOT, "There is no source 'tape:x'"),
        ("produce there --source folder:nowhere", CAN_NOT, "nowhere"),
        ("produce there --source replay:nowhere", CAN_NOT, "nowhere"),
        ("produce there --source replay:empty", CAN_NOT, "empty"),
        ("produce gone --source replay:empty", CAN_NOT, "There is no station 'gone'"),
        ("produce there --source replay:empty --rate 0", USAGE, "'--rate'"),
        ("produce there --source replay:empty --limit 0", USAGE, "'--limit'"),
        ("score --metrics-port 70000", USAGE, "'--metrics-port'"),
        ("--config nowhere.toml config", CAN_NOT, "no settings file nowhere.toml"),
        ("--config bad.toml station list", CAN_NOT, "unknown key ingest.buss"),
    ],
)
def test_wrong_input_gets_one_sentence(words: str, code: int, told: str, andon: Andon, workplace: Path) -> None:
    (workplace / "bad.toml").write_text("[ingest]\nbuss = 1\n", encoding="utf-8")
    (workplace / "empty").mkdir()
    andon("station", "add", "there")
    ended = andon(*words.split())
    assert ended.code == code
    assert len(ended.err.splitlines()) == 1
    assert ended.err.startswith("andon: ")
    assert told in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("ANDON_STORAGE__DATABASE_URL", "mysql://host/andon", "mysql"),
        ("ANDON_STORAGE__DATABASE_URL", "postgresql+psycopg://andon@127.0.0.1:1/andon", "127.0.0.1:1"),
        ("ANDON_STORAGE__DATABASE_URL", "sqlite:////proc/andon.db", "/proc/andon.db"),
        ("ANDON_INGEST__BUS", "carrier-pigeon", "carrier-pigeon"),
        ("ANDON_NO_SUCH__THING", "1", "is not a setting"),
    ],
)
def test_wrong_settings_get_one_sentence(
    variable: str, value: str, told: str, andon: Andon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    ended = andon("station", "list")
    assert (ended.code, len(ended.err.splitlines())) == (CAN_NOT, 1)
    assert told in ended.err
    assert ended.out == ""


def test_what_nobody_expected_is_still_one_sentence_and_debug_shows_where(
    andon: Andon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("a drawer\nis missing")

    monkeypatch.setattr("storage.line.stations.list_all", broken)
    ended = andon("station", "list")
    assert ended.code == 1
    assert ended.err == ("andon: unexpected LookupError: a drawer is missing (andon --debug … shows where)\n")
    with pytest.raises(LookupError):
        andon("--debug", "station", "list")

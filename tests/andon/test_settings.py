"""Settings come from defaults, a file and the environment, in this order, and unknown keys are refused by name."""

from pathlib import Path

import pytest

from andon.errors import InvalidSettings
from andon.settings import display_value, load_settings


@pytest.fixture(autouse=True)
def _in_an_empty_workplace(workplace: Path) -> None:
    """Every test here starts without a file and without variables."""


def written(text: str, name: str = "andon.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(file: Path | None = None) -> str:
    with pytest.raises(InvalidSettings) as refused:
        load_settings(file)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_without_file_and_environment_the_embedded_defaults_are_in_force() -> None:
    in_force = load_settings()
    assert (in_force.settings.ingest.bus, in_force.settings.storage.images_url) == ("embedded", ".andon/images")
    assert (in_force.file, in_force.origins) == (None, {})


def test_the_file_beats_the_default_and_the_environment_beats_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    written('[ingest]\nbus = "kafka"\ntopic = "line-1"\n')
    monkeypatch.setenv("ANDON_INGEST__TOPIC", "line-2")
    in_force = load_settings()
    assert (in_force.settings.ingest.bus, in_force.settings.ingest.topic) == ("kafka", "line-2")
    assert in_force.settings.ingest.partitions == 12
    assert in_force.origins == {"ingest.bus": "andon.toml", "ingest.topic": "ANDON_INGEST__TOPIC"}


def test_a_file_named_by_hand_beats_the_one_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_CONFIG", str(written('[ingest]\ntopic = "by-environment"\n', "a.toml")))
    assert load_settings().settings.ingest.topic == "by-environment"
    assert load_settings(written('[ingest]\ntopic = "by-hand"\n', "b.toml")).settings.ingest.topic == "by-hand"


def test_an_empty_variable_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_INGEST__TOPIC", "")
    assert load_settings().origins == {}


def test_numbers_and_paths_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_INGEST__PARTITIONS", "3")
    monkeypatch.setenv("ANDON_INGEST__SPOOL_PATH", "/mnt/spool")
    assert (load_settings().settings.ingest.partitions, load_settings().settings.ingest.spool_path) == (
        3,
        Path("/mnt/spool"),
    )


@pytest.mark.parametrize(
    ("text", "unknown", "nearest"),
    [
        ("[ingest]\npartition = 3\n", "ingest.partition", "ingest.partitions"),
        ('[scorer]\nbus = "kafka"\n', "scorer.bus", "ingest.bus"),
        ('bus = "kafka"\n', "bus", "ingest.bus"),
        ("[ingst]\npartitions = 3\n", "ingst", "ingest."),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(text: str, unknown: str, nearest: str) -> None:
    message = refusal(written(text))
    assert f"unknown key {unknown};" in message
    assert nearest in message


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("ANDON_INGEST__BUSS", "ANDON_INGEST__BUS"),
        ("ANDON_INGEST_BUS", "ANDON_INGEST__BUS"),
        ("ANDON_DASHBOARD_PORT", "ANDON_DASHBOARD__PORT"),
        ("ANDON_CONFG", "ANDON_CONFIG"),
        ("ANDON_INGEST", "ANDON_INGEST__"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_known_one(
    variable: str, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "8501")
    assert f"{variable} is not a setting; the nearest known one is {nearest}" in refusal()


def test_the_variables_that_kubernetes_sets_for_a_service_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ANDON_DASHBOARD_SERVICE_HOST": "10.0.0.7",
        "ANDON_DASHBOARD_SERVICE_PORT": "8501",
        "ANDON_DASHBOARD_SERVICE_PORT_HTTP": "8501",
        "ANDON_DASHBOARD_PORT": "tcp://10.0.0.7:8501",
        "ANDON_DASHBOARD_PORT_8501_TCP": "tcp://10.0.0.7:8501",
        "ANDON_DASHBOARD_PORT_8501_TCP_ADDR": "10.0.0.7",
    }.items():
        monkeypatch.setenv(name, value)
    assert load_settings().origins == {}


def test_a_value_that_can_not_be_meant_is_told_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(written('[ingest]\npartitions = "many"\n')).startswith(
        "andon.toml sets ingest.partitions to 'many', but: Input should be a valid integer"
    )
    written("")
    monkeypatch.setenv("ANDON_INGEST__BUS", "rabbit")
    assert refusal().startswith("ANDON_INGEST__BUS sets ingest.bus to 'rabbit', but: Input should be 'embedded' or")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ANDON_STORAGE__DATABASE_URL", "postgresql+psycopg://andon:hunter2"),
        ("ANDON_STORAGE__DATABASE_URL", "mysql://andon:hunter2@host/andon"),
    ],
)
def test_a_refusal_never_shows_a_password(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    assert "hunter2" not in refusal()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[ingest\n", "is not TOML"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"ingest = 3\n", "write [ingest] above its keys"),
    ],
)
def test_a_file_that_can_not_be_read_is_named(content: bytes, told: str) -> None:
    Path("andon.toml").write_bytes(content)
    message = refusal()
    assert "andon.toml" in message
    assert told in message


def test_a_file_that_was_named_must_be_there() -> None:
    assert refusal(Path("gone.toml")).startswith("There is no settings file gone.toml;")
    assert "can't be read" in refusal(Path())


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("postgresql+psycopg://andon:hunter2@db:5432/andon", "postgresql+psycopg://andon:**********@db:5432/andon"),
        ("postgresql+psycopg://andon:hun@ter/2@db/andon", "postgresql+psycopg://andon:**********@db/andon"),
        (
            "postgresql+psycopg://db/andon?user=a&password=hunter2&x=1",
            "postgresql+psycopg://db/andon?user=a&password=**********&x=1",
        ),
        ("broker-1:9092,broker-2:9092", "broker-1:9092,broker-2:9092"),
        ("sqlite:///.andon/andon.db", "sqlite:///.andon/andon.db"),
    ],
)
def test_a_password_inside_an_address_is_masked(value: str, seen: str) -> None:
    assert display_value(value) == seen

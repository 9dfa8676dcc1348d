"""Settings come from defaults, a file and the environment, in this order, and unknown keys are refused by name."""

from pathlib import Path

import pytest

from andon.errors import InvalidSettings
from andon.settings import display_value, load_settings, settings_in_force


@pytest.fixture(autouse=True)
def _use_empty_workplace(workplace: Path) -> None:
    """Every test here starts without a file and without variables."""


def write_settings(text: str, name: str = "andon.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def refused_message(file: Path | None = None) -> str:
    with pytest.raises(InvalidSettings) as refused:
        load_settings(file)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_defaults_are_used_without_a_file_and_environment() -> None:
    loaded = load_settings()
    assert (loaded.settings.ingest.bus, loaded.settings.storage.images_url) == ("embedded", ".andon/images")
    assert (loaded.file, loaded.origins) == (None, {})


def test_the_environment_overrides_the_file_and_the_file_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings('[ingest]\nbus = "kafka"\ntopic = "line-1"\n')
    monkeypatch.setenv("ANDON_INGEST__TOPIC", "line-2")
    loaded = load_settings()
    assert (loaded.settings.ingest.bus, loaded.settings.ingest.topic) == ("kafka", "line-2")
    assert loaded.settings.ingest.partitions == 12
    assert loaded.origins == {"ingest.bus": "andon.toml", "ingest.topic": "ANDON_INGEST__TOPIC"}


def test_a_file_argument_overrides_the_file_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDON_CONFIG", str(write_settings('[ingest]\ntopic = "by-environment"\n', "a.toml")))
    assert load_settings().settings.ingest.topic == "by-environment"
    assert load_settings(write_settings('[ingest]\ntopic = "by-hand"\n', "b.toml")).settings.ingest.topic == "by-hand"


def test_an_output_is_a_table_or_variables_and_its_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings('[outputs]\npoll_interval_s = 2\n[outputs.mes]\nkind = "mqtt"\npassword = "hunter2"\n')
    monkeypatch.setenv("ANDON_OUTPUTS__MES__HOST", "mes.plant")
    loaded = load_settings()
    assert loaded.settings.outputs.tables == {"mes": {"kind": "mqtt", "password": "hunter2", "host": "mes.plant"}}
    shown = {name: display_value(value) for name, value in settings_in_force(loaded.settings).items()}
    assert (shown["outputs.poll_interval_s"], shown["outputs.mes.kind"]) == (2.0, "mqtt")
    assert "hunter2" not in str(shown)
    assert loaded.origins == {
        "outputs.poll_interval_s": "andon.toml",
        "outputs.mes.kind": "andon.toml",
        "outputs.mes.password": "andon.toml",
        "outputs.mes.host": "ANDON_OUTPUTS__MES__HOST",
    }


def test_the_error_of_an_output_shows_no_secret() -> None:
    assert "hunter2" not in refused_message(write_settings('[outputs.MES]\npassword = "hunter2"\n'))


def test_an_empty_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_an_unknown_key_is_refused_with_the_nearest_known_one(text: str, unknown: str, nearest: str) -> None:
    message = refused_message(write_settings(text))
    assert unknown in message
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
def test_an_unknown_variable_is_refused_with_the_nearest_known_one(
    variable: str, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "8501")
    assert all(named in refused_message() for named in (variable, nearest))


def test_service_variables_of_kubernetes_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_invalid_value_is_refused_with_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused_message(write_settings('[ingest]\npartitions = "many"\n')).startswith(
        "andon.toml sets ingest.partitions to 'many', but: Input should be a valid integer"
    )
    write_settings("")
    monkeypatch.setenv("ANDON_INGEST__BUS", "rabbit")
    assert refused_message().startswith(
        "ANDON_INGEST__BUS sets ingest.bus to 'rabbit', but: Input should be 'embedded' or"
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ANDON_STORAGE__DATABASE_URL", "postgresql+psycopg://andon:hunter2"),
        ("ANDON_STORAGE__DATABASE_URL", "mysql://andon:hunter2@host/andon"),
    ],
)
def test_an_error_never_shows_a_password(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    assert "hunter2" not in refused_message()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"[ingest\n", "TOML"),
        (b"\xff\xfe", "UTF-8"),
        (b"ingest = 3\n", "[ingest]"),
    ],
)
def test_an_unreadable_file_is_named(content: bytes, named: str) -> None:
    Path("andon.toml").write_bytes(content)
    message = refused_message()
    assert "andon.toml" in message
    assert named in message


def test_a_missing_file_argument_is_refused() -> None:
    assert "gone.toml" in refused_message(Path("gone.toml"))
    assert refused_message(Path())


@pytest.mark.parametrize(
    ("value", "shown"),
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
def test_a_password_in_a_url_is_masked(value: str, shown: str) -> None:
    assert display_value(value) == shown

"""Passwords and tokens are masked wherever a text holds one, and nothing else is."""

import pytest

from foundation.masking import MASK, mask_all, mask_secrets

SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIA123:hunter2@bucket/andon",
        "postgresql+psycopg://db/andon?user=a&password=hunter2&x=1",
        "postgresql+psycopg://db/andon?sslpassword=hunter2",
        "The image store s3://AKIA123:hunter2@bucket can't be used: check it.",
        "The database postgresql://andon@db/andon?password=hunter2 can't be reached.",
        "host=db user=andon password=hunter2 dbname=andon",
        "rtsp://admin:hunt@er2hunter2@camera/live",
        "postgresql+psycopg://andon:two words hunter2@db/andon",
        "https://account.blob.example/images?sv=1&sig=hunter2",
        "https://plant.example/hook?api_key=hunter2",
    ],
)
def test_a_secret_is_masked(text: str) -> None:
    masked = mask_secrets(text)
    assert SECRET not in masked
    assert MASK in masked
    assert mask_secrets(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///.andon/andon.db",
        "s3://bucket/andon",
        "broker-1:9092,broker-2:9092",
        "The dashboard is at http://localhost:8501; Ctrl-C stops it.",
        "Kafka can't be reached at kafka:9092; ask admin@plant.example.",
        "The setting kafka_security_protocol = SASL_SSL needs kafka_sasl_password.",
    ],
)
def test_a_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert mask_secrets(text) == text


def test_every_text_of_a_nested_value_is_masked() -> None:
    url = f"s3://key:{SECRET}@bucket"
    masked = mask_all({"error": ValueError(url), "frames": [{"value": url}, 3], "pair": (url, None)})
    assert SECRET not in repr(masked)
    assert mask_all({"frames": 3, "ok": True, "none": None}) == {"frames": 3, "ok": True, "none": None}

"""This room's settings; the entry point reads them from environment and file, and hands them in."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class IngestSettings(BaseModel):
    """The bus, the producer with its spool, and what sources remember."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bus: Literal["embedded", "kafka"] = Field(
        "embedded", description='Which bus carries the frames: "embedded" (a file, one machine) or "kafka".'
    )
    topic: str = Field(
        "andon.frames",
        pattern=r"^[a-zA-Z0-9._-]{1,249}$",
        description="The topic that frames travel on, for example andon.frames.",
    )
    partitions: int = Field(
        12,
        ge=1,
        le=1000,
        description="Partitions of a topic that is made new; at most so many scorers share the work, for example 12.",
    )

    lease_s: float = Field(
        10.0,
        gt=0,
        description="Seconds of silence after which a group gives a member's share to the others, for example 10.",
    )

    embedded_path: Path = Field(
        Path(".andon/bus.sqlite"), description="The embedded bus's file, for example .andon/bus.sqlite."
    )
    embedded_retention_s: float = Field(
        3600.0,
        ge=0,
        description="Seconds that the embedded bus keeps records which every group has committed, for example 3600.",
    )
    embedded_max_bytes: int = Field(
        20_000_000_000,
        ge=1_000_000,
        description="Bytes that the embedded bus's file may take before it refuses frames, for example 20000000000.",
    )

    kafka_bootstrap_servers: str = Field(
        "localhost:9092", description="Kafka brokers to begin with, for example broker-1:9092,broker-2:9092."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to the brokers, for example SASL_SSL."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="How to log in where the security protocol has SASL in it, for example SCRAM-SHA-512."
    )
    kafka_sasl_username: str | None = Field(None, description="The user to log in as, for example andon.")
    kafka_sasl_password: SecretStr | None = Field(None, description="That user's password, for example s3cret.")
    kafka_ssl_cafile: Path | None = Field(
        None, description="PEM file of the authority that signed the brokers' certificates, for example ca.pem."
    )
    kafka_ssl_certfile: Path | None = Field(None, description="PEM file of our own certificate, for example andon.pem.")
    kafka_ssl_keyfile: Path | None = Field(
        None, description="PEM file of that certificate's key, for example andon.key."
    )
    kafka_replication_factor: int = Field(
        1,
        ge=1,
        le=9,
        description="Brokers that keep a copy of each frame in a topic that is made new, for example 3.",
    )
    kafka_unavailable_after_s: float = Field(
        15.0,
        gt=0,
        description="Seconds without any answer after which Kafka counts as unavailable, for example 15.",
    )

    max_inline_image_bytes: int = Field(
        900_000,
        ge=1,
        le=8_000_000,
        description="Bytes above which an image travels as a reference to the image store, for example 900000.",
    )
    max_memory_bytes: int = Field(
        256_000_000,
        ge=1_000_000,
        description="Bytes of frames that the producer holds in memory at most, for example 256000000.",
    )
    spool_path: Path = Field(
        Path(".andon/spool"), description="Folder for frames while the bus is away, for example .andon/spool."
    )
    max_spool_bytes: int = Field(
        10_000_000_000,
        ge=0,
        description="Bytes that the spool may take on disk, for example 10000000000; 0 means no spool.",
    )
    when_spool_full: Literal["wait", "drop_oldest"] = Field(
        "wait", description='What to do when the spool is full: "wait" holds the source, "drop_oldest" counts a loss.'
    )

    settle_time_s: float = Field(
        1.0,
        ge=0,
        description="Seconds a file must stay unchanged before a folder source takes it, for example 1.",
    )
    state_path: Path = Field(
        Path(".andon/sources"), description="Folder where sources remember what they took, for example .andon/sources."
    )

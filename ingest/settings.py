"""The settings of bus, producer and sources; the command reads them from environment and file."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class IngestSettings(BaseModel):
    """Settings of the bus, the producer with its spool, and the sources."""

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
        description="Partitions of a new topic, and so the most scorers that can share it, for example 12.",
    )

    lease_s: float = Field(
        10.0,
        gt=0,
        description="Seconds without a poll after which a member's partitions go to others, for example 10.",
    )

    embedded_path: Path = Field(
        Path(".andon/bus.sqlite"), description="File of the embedded bus, for example .andon/bus.sqlite."
    )
    embedded_retention_s: float = Field(
        3600.0,
        ge=0,
        description="Seconds that the embedded bus keeps records which every group has committed, for example 3600.",
    )
    embedded_max_bytes: int = Field(
        20_000_000_000,
        ge=1_000_000,
        description="Size in bytes at which the embedded bus refuses frames, for example 20000000000.",
    )

    kafka_bootstrap_servers: str = Field(
        "localhost:9092", description="Kafka brokers to connect to first, for example broker-1:9092,broker-2:9092."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Protocol of the connection to the brokers, for example SASL_SSL."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="Login mechanism of a SASL security protocol, for example SCRAM-SHA-512."
    )
    kafka_sasl_username: str | None = Field(None, description="User name of the login, for example andon.")
    kafka_sasl_password: SecretStr | None = Field(None, description="Password of the login, for example s3cret.")
    kafka_ssl_cafile: Path | None = Field(
        None,
        description="PEM file of the certificate authority that signed the brokers' certificates, for example ca.pem.",
    )
    kafka_ssl_certfile: Path | None = Field(
        None, description="PEM file of the client certificate, for example andon.pem."
    )
    kafka_ssl_keyfile: Path | None = Field(
        None, description="PEM file of that certificate's key, for example andon.key."
    )
    kafka_replication_factor: int = Field(
        1,
        ge=1,
        le=9,
        description="Brokers that store a copy of each frame of a new topic, for example 3.",
    )
    kafka_unavailable_after_s: float = Field(
        15.0,
        gt=0,
        description="Seconds without an answer after which Kafka counts as unavailable, for example 15.",
    )

    max_inline_image_bytes: int = Field(
        900_000,
        ge=1,
        le=8_000_000,
        description="Bytes above which an image is published as a reference to the image store, for example 900000.",
    )
    max_memory_bytes: int = Field(
        256_000_000,
        ge=1_000_000,
        description="Limit in bytes of the frames in the producer's memory, for example 256000000.",
    )
    spool_path: Path = Field(
        Path(".andon/spool"), description="Folder of frames while the bus is unavailable, for example .andon/spool."
    )
    max_spool_bytes: int = Field(
        10_000_000_000,
        ge=0,
        description="Limit in bytes of the spool on disk, for example 10000000000; 0 for no spool.",
    )
    when_spool_full: Literal["wait", "drop_oldest"] = Field(
        "wait",
        description='What a full spool does: "wait" stops the source, "drop_oldest" counts lost frames.',
    )

    settle_time_s: float = Field(
        1.0,
        ge=0,
        description="Seconds for which a file must stay unchanged before a folder source reads it, for example 1.",
    )
    follow_links: bool = Field(
        False,
        description="Whether a folder source reads what lies behind links out of its folder: who can write there can "
        "then have any file read that this process may read, for example true.",
    )
    state_path: Path = Field(
        Path(".andon/sources"),
        description="Folder where sources record which files they have read, for example .andon/sources.",
    )

"""Settings of the database and the image store."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from storage.urls import check_images_url, parse_database_url


class StorageSettings(BaseModel):
    """The URLs of the database and the image store; their form is checked, not whether they can be reached."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: str = Field(
        default="sqlite:///.andon/andon.db",
        description="The database: sqlite:///folder/andon.db, or PostgreSQL 15 or newer as "
        "postgresql+psycopg://user:password@host:5432/andon",
    )
    images_url: str = Field(
        default=".andon/images",
        description="The image store: a folder, or an fsspec URL such as s3://bucket/andon (needs the s3 extra)",
    )

    secret_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Random text from which the key is made that encrypts the addresses of notification channels, the "
        "same for every process; without one, the key is in secret_key_path",
    )
    secret_key_path: Path | None = Field(
        default=None,
        description="File of that key, made when it is needed, for its owner alone; by default secret.key beside an "
        "SQLite database, and .andon/secret.key with PostgreSQL",
    )

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str) -> str:
        parse_database_url(value)
        return value

    @field_validator("images_url")
    @classmethod
    def _check_images_url(cls, value: str) -> str:
        check_images_url(value)
        return value

"""Where verdicts and images are kept."""

from pydantic import BaseModel, ConfigDict, Field, field_validator

from storage.urls import check_images_url, parse_database_url


class StorageSettings(BaseModel):
    """Both addresses are checked for form here, not for being reachable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: str = Field(
        default="sqlite:///.andon/andon.db",
        description="The database: sqlite:///folder/andon.db, or PostgreSQL 15 or newer as "
        "postgresql+psycopg://user:password@host:5432/andon",
    )
    images_url: str = Field(
        default=".andon/images",
        description="The image store: a folder, or an fsspec address such as s3://bucket/andon (needs the s3 extra)",
    )

    @field_validator("database_url")
    @classmethod
    def _database_can_be_read(cls, value: str) -> str:
        parse_database_url(value)
        return value

    @field_validator("images_url")
    @classmethod
    def _images_can_be_read(cls, value: str) -> str:
        check_images_url(value)
        return value

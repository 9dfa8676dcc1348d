"""URLs of the database and the image store."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from foundation.masking import mask_secrets

_FORMS = "sqlite:///folder/andon.db or postgresql+psycopg://user:password@host:5432/andon"


def parse_database_url(url: str) -> URL:
    """Parse the URL of an SQLite file or a PostgreSQL database; raises `ValueError` for anything else."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the text may hold a password, so it is not repeated
        raise ValueError(f"the database URL cannot be parsed: it looks like {_FORMS}") from None
    if parsed.drivername in {"sqlite", "sqlite+pysqlite"}:
        if parsed.database in {None, "", ":memory:"}:
            raise ValueError(
                "the database URL names no file, and an SQLite database in memory is lost at the end: use sqlite:///andon.db"
            )
        return parsed
    if parsed.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        return parsed.set(drivername="postgresql+psycopg")
    raise ValueError(f"the database URL names {parsed.drivername}: Andon supports {_FORMS}")


def check_images_url(url: str) -> str:
    """Return the image store's URL or folder unchanged; raises `ValueError` when it is empty."""
    if not url.strip():
        raise ValueError("the image store's URL is empty: name a folder such as .andon/images, or s3://bucket/andon")
    return url


def masked_url(url: URL) -> str:
    """Return the URL with its password masked, also one in the query, fit for messages and logs."""
    return mask_secrets(url.render_as_string(hide_password=False))

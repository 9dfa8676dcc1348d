"""Addresses of the database and the image store, read and shown to people."""

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_FORMS = "sqlite:///folder/andon.db or postgresql+psycopg://user:password@host:5432/andon"


def parse_database_url(url: str) -> URL:
    """Read a database URL; raises `ValueError` with one sentence for anything but a SQLite file or PostgreSQL."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):  # the text may hold a password, so it is not repeated
        raise ValueError(f"the database URL can't be read: it looks like {_FORMS}") from None
    if address.drivername in {"sqlite", "sqlite+pysqlite"}:
        if address.database in {None, "", ":memory:"}:
            raise ValueError(
                "the database URL names no file, and SQLite in memory keeps nothing: use sqlite:///andon.db"
            )
        return address
    if address.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        return address.set(drivername="postgresql+psycopg")
    raise ValueError(f"the database URL speaks of {address.drivername}: Andon keeps its data in {_FORMS}")


def check_images_url(url: str) -> str:
    """Return the address as it is; raises `ValueError` when it is empty."""
    if not url.strip():
        raise ValueError(
            "the image store's address is empty: name a folder such as .andon/images, or s3://bucket/andon"
        )
    return url


def masked_url(address: URL) -> str:
    """The address as a person may see it: the password masked."""
    return address.render_as_string(hide_password=True)

"""Tests in this package that use the `database` fixture run twice: on SQLite and on a real PostgreSQL."""

from tests.storage.conftest import database as database
from tests.storage.conftest import database_url as database_url

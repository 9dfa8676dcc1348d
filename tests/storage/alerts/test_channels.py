"""Channels: what the database holds of an address, and who reads it in clear."""

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from storage.actions import channels as actions
from storage.alerts import channels
from storage.auth.identity import SINGLE_USER_ACTOR
from storage.database.engine import Database
from storage.database.secret_key import SecretKey
from storage.database.tables import ChannelRow
from storage.errors import InvalidChange, SecretUnreadable
from tests.storage.examples import NOON

URL = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


def test_the_database_holds_the_address_encrypted_and_a_test_message_sees_it_in_clear(database: Database) -> None:
    with database.begin() as session:
        added = channels.add(session, "chat", URL, "info", NOON)
        stored = session.scalars(select(ChannelRow.url)).one()
        assert "T1JJ3T3L2" not in stored
        assert added.service == "slack"
        assert channels.opened(session, added).url == URL
        assert actions.get_for_test(session, SINGLE_USER_ACTOR, "chat", NOON).url == URL


def test_the_longest_address_fits_and_a_longer_one_is_refused(database: Database) -> None:
    longest = f"json://{'a' * (channels.MAX_URL_BYTES - 7)}"
    with database.begin() as session:
        assert channels.opened(session, channels.add(session, "long", longest, "info", NOON)).url == longest
        with pytest.raises(InvalidChange):
            channels.add(session, "longer", f"{longest}a", "info", NOON)


def test_another_key_reads_no_address_and_still_lists_the_channels(database: Database, database_url: str) -> None:
    with database.begin() as session:
        channels.add(session, "chat", URL, "info", NOON)
    other = Database(database_url, secret_key=SecretKey.from_text("another key, as random as that"))
    with other.read() as session:
        (channel,) = channels.list_all(session)
        assert channel.service == "slack"
        with pytest.raises(SecretUnreadable):
            channels.opened(session, channel)
        with pytest.raises(SecretUnreadable):
            channels.opened(session, replace(channel, name="mail"))
    other.close()


def test_an_address_of_an_earlier_version_still_works_and_is_encrypted_once(database: Database) -> None:
    with database.begin() as session:
        channels.add(session, "chat", "json://x", "info", NOON)
        session.execute(update(ChannelRow).values(url=URL))
        assert channels.opened(session, channels.get(session, "chat")).url == URL
        assert (channels.encrypt_all(session), channels.encrypt_all(session)) == (1, 0)
        assert "T1JJ3T3L2" not in session.scalars(select(ChannelRow.url)).one()
        assert channels.opened(session, channels.get(session, "chat")).url == URL

"""The lease of the process that watches for alerts."""

from datetime import timedelta

from storage.alerts import alert_watch
from storage.alerts.alert_watch import LEASE
from storage.database.engine import Database
from tests.storage.examples import NOON

SECOND = timedelta(seconds=1)


def test_nobody_watches_until_a_process_takes_the_lease(database: Database) -> None:
    with database.read() as session:
        assert alert_watch.holder(session, NOON) is None
    with database.begin() as session:
        assert alert_watch.hold(session, "w1", NOON)
    with database.read() as session:
        assert alert_watch.holder(session, NOON + LEASE) == "w1"
        assert alert_watch.holder(session, NOON + LEASE + SECOND) is None


def test_one_process_holds_the_lease_until_it_no_longer_renews_it(database: Database) -> None:
    with database.begin() as session:
        assert alert_watch.hold(session, "w1", NOON)
        assert not alert_watch.hold(session, "w2", NOON + SECOND)
        assert alert_watch.hold(session, "w1", NOON + LEASE)
        assert not alert_watch.hold(session, "w2", NOON + LEASE + SECOND)
        assert alert_watch.hold(session, "w2", NOON + 2 * LEASE + SECOND)
        assert not alert_watch.hold(session, "w1", NOON + 2 * LEASE + SECOND)

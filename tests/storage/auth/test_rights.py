"""Who may do what: the table itself, and every action called in every role."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from storage.actions import alerts as alert_actions
from storage.actions import channels as channel_actions
from storage.actions import dead_letters as dead_letter_actions
from storage.actions import golden_frames as golden_frame_actions
from storage.actions import jobs as job_actions
from storage.actions import normal_sets as normal_set_actions
from storage.actions import outputs as output_actions
from storage.actions import reviews as review_actions
from storage.actions import stations as station_actions
from storage.actions import thresholds as threshold_actions
from storage.actions import users as user_actions
from storage.alerts import alerts
from storage.alerts.alert_rules import AlertRule
from storage.auth import audit_log, rights, users
from storage.auth.actors import SINGLE_USER, Actor, Role
from storage.auth.rights import ACTIONS, MIN_ROLE, Action
from storage.database.engine import Database
from storage.errors import PermissionDenied
from storage.line import dead_letters, jobs, normal_sets, stations, thresholds, verdicts
from storage.line.stations import StationSettings
from storage.line.thresholds import Threshold
from storage.outputs import outbox, outputs
from storage.review import reviews
from storage.review.review_queue import QueueFilter
from storage.review.reviews import LabelSubmission
from tests.storage.examples import (
    NOON,
    add_active_set,
    add_station,
    good_images,
    is_one_sentence,
    make_dead_letter,
    make_verdict,
)

LATER = NOON + timedelta(hours=1)
FRAME = UUID(int=7)
PEOPLE = {role: Actor(f"the {role}", role) for role in Role}
UNUSED = {"settings.change"}  # no setting is stored in the database yet

OWN_ACTIONS: dict[Role, set[Action]] = {
    Role.VIEWER: {"user.own_password"},
    Role.INSPECTOR: {"review.claim", "review.label", "review.undo", "normal_set.propose", "alert.acknowledge"},
    Role.ENGINEER: {
        "normal_set.add",
        "normal_set.activate",
        "normal_set.rollback",
        "threshold.set",
        "golden_frame.set",
        "station.add",
        "station.edit",
        "job.start",
        "job.cancel",
        "dead_letter.replay",
        "output.retry",
        "output.remove",
        "alert.resolve",
        "alert.mute",
        "alert.unmute",
        "alert_rule.set",
    },
    Role.ADMIN: {
        "channel.add",
        "channel.set",
        "channel.remove",
        "channel.test",
        "settings.change",
        "user.add",
        "user.role",
        "user.password",
        "user.disable",
        "user.enable",
    },
}

Call = Callable[[Session, Actor], object]
CALLS: dict[Action, list[Call]] = {
    "review.claim": [
        lambda s, actor: review_actions.claim(s, actor, QueueFilter(), LATER),
        lambda s, actor: review_actions.renew(s, actor, [FRAME], LATER),
        lambda s, actor: review_actions.release(s, actor),
    ],
    "review.label": [
        lambda s, actor: review_actions.label(s, actor, [LabelSubmission(uuid4(), FRAME, "defect")], LATER)
    ],
    "review.undo": [
        lambda s, actor: review_actions.undo(
            s,
            actor,
            uuid4(),
            LATER,
            reviews.submit(s, LabelSubmission(uuid4(), FRAME, "defect"), actor.name, LATER).review.id,
        )
    ],
    "normal_set.propose": [
        lambda s, actor: normal_set_actions.propose(s, actor, FRAME, LATER),
        lambda s, actor: normal_set_actions.withdraw(s, actor, "s1", ["sha256:0"], LATER),
    ],
    "normal_set.add": [
        lambda s, actor: normal_set_actions.add(s, actor, "s1", good_images(5), "", LATER),
        lambda s, actor: normal_set_actions.draft(s, actor, "s1", good_images(5), "", LATER),
    ],
    "normal_set.activate": [lambda s, actor: normal_set_actions.activate(s, actor, "s1", 1, LATER)],
    "normal_set.rollback": [lambda s, actor: normal_set_actions.rollback(s, actor, "s1", LATER)],
    "threshold.set": [
        lambda s, actor: threshold_actions.set_manually(s, actor, "s1", 0.6, "glare", LATER),
        lambda s, actor: threshold_actions.set_false_reject_rate(s, actor, "s1", 0.02, "glare", LATER),
    ],
    "golden_frame.set": [lambda s, actor: golden_frame_actions.choose(s, actor, FRAME, LATER)],
    "station.add": [lambda s, actor: station_actions.add(s, actor, "s2", StationSettings(), LATER)],
    "station.edit": [lambda s, actor: station_actions.edit(s, actor, "s1", StationSettings("bolt"), LATER)],
    "job.start": [
        lambda s, actor: job_actions.start_what_if(s, actor, "s1", 1, LATER),
        lambda s, actor: job_actions.start_golden(s, actor, "s1", LATER),
    ],
    "job.cancel": [lambda s, actor: job_actions.cancel(s, actor, 1, LATER)],
    "dead_letter.replay": [
        lambda s, actor: dead_letter_actions.require_replay(s, actor),
        lambda s, actor: dead_letter_actions.mark_replayed(s, actor, [1], LATER),
    ],
    "output.retry": [lambda s, actor: output_actions.retry(s, actor, "archive", LATER)],
    "output.remove": [lambda s, actor: output_actions.remove(s, actor, "archive", LATER)],
    "alert.acknowledge": [lambda s, actor: alert_actions.acknowledge(s, actor, 1, LATER)],
    "alert.resolve": [lambda s, actor: alert_actions.resolve(s, actor, 1, LATER)],
    "alert.mute": [lambda s, actor: alert_actions.mute(s, actor, "s1", LATER + timedelta(hours=1), "new lamp", LATER)],
    "alert.unmute": [lambda s, actor: alert_actions.unmute(s, actor, "s1", LATER)],
    "alert_rule.set": [lambda s, actor: alert_actions.set_rule(s, actor, AlertRule(1, "silent", {}, False), LATER)],
    "channel.add": [lambda s, actor: channel_actions.add(s, actor, "second", "json://host", "info", LATER)],
    "channel.set": [lambda s, actor: channel_actions.set_enabled(s, actor, "first", False, LATER)],
    "channel.remove": [lambda s, actor: channel_actions.remove(s, actor, "first", LATER)],
    "channel.test": [lambda s, actor: channel_actions.get_for_test(s, actor, "first", LATER)],
    "user.add": [lambda s, actor: user_actions.add(s, actor, "new", Role.VIEWER, None, LATER)],
    "user.role": [lambda s, actor: user_actions.set_role(s, actor, "spare", Role.ENGINEER, LATER)],
    "user.password": [lambda s, actor: user_actions.set_password(s, actor, "spare", "long enough", LATER)],
    "user.own_password": [lambda s, actor: user_actions.set_password(s, actor, actor.name, "long enough", LATER)],
    "user.disable": [lambda s, actor: user_actions.disable(s, actor, "spare", LATER)],
    "user.enable": [lambda s, actor: user_actions.enable(s, actor, "spare", LATER)],
}
CASES = [
    pytest.param(role, action, number, id=f"{role}-{action}-{number}")
    for action, calls in CALLS.items()
    for number in range(len(calls))
    for role in Role
]


def allowed(role: Role, action: Action) -> bool:
    return any(action in OWN_ACTIONS[each] for each in Role if each.rank <= role.rank)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("role", list(Role))
def test_each_role_has_its_rights_and_those_of_lower_roles(role: Role, action: Action) -> None:
    actor = PEOPLE[role]
    assert rights.is_allowed(actor, action) == allowed(role, action)
    if allowed(role, action):
        rights.require(actor, action)
    else:
        with pytest.raises(PermissionDenied, match=str(MIN_ROLE[action])) as caught:
            rights.require(actor, action)
        assert is_one_sentence(caught.value)


def test_every_action_is_in_the_table_and_has_a_call() -> None:
    assert set(MIN_ROLE) == set(ACTIONS) == set(CALLS) | UNUSED


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A line on which every action succeeds; each test rolls its own changes back."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('line')}/andon.db")
    database.upgrade()
    with database.begin() as session:
        station = add_station(session, "s1")
        add_active_set(session, station)
        normal_sets.add(session, station.id, good_images(2), "", NOON)
        active = normal_sets.activate(session, station.id, 2, NOON)
        thresholds.record(session, Threshold(station.id, active.id, "0c5f", 0.5, 0.01, "", NOON, "worker-1"))
        outputs.register(session, "archive", NOON)
        verdicts.record(session, [make_verdict(active, decision="flag", score=0.7, frame_id=FRAME)])
        outbox.mark_rejected(session, "archive", 1, "It is too large.")
        for role in reversed(Role):  # the first user is an admin
            users.add(session, PEOPLE[role].name, role, None, NOON)
        users.add(session, "spare", Role.VIEWER, None, NOON)
        golden_frame_actions.choose(session, PEOPLE[Role.ADMIN], FRAME, NOON)
        jobs.enqueue(session, "golden", station.id, {}, "the engineer", NOON)
        alerts.open_episode(session, station.id, "silent", "warning", "No frame came.", {}, NOON)
        channel_actions.add(session, PEOPLE[Role.ADMIN], "first", "json://secret@host", "info", NOON)
        dead_letters.record(session, [make_dead_letter()])
    return database


class RollBack(Exception):
    """Raised to roll back the transaction of a test."""


@pytest.fixture
def session(line: Database) -> Iterator[Session]:
    """A transaction on the line that leaves nothing behind."""
    with contextlib.suppress(RollBack), line.begin() as session:
        yield session
        raise RollBack


@pytest.mark.parametrize(("role", "action", "number"), CASES)
def test_each_role_may_call_its_actions_and_no_others(
    session: Session, role: Role, action: Action, number: int
) -> None:
    before = audit_log.list_entries(session)
    if allowed(role, action):
        CALLS[action][number](session, PEOPLE[role])
    else:
        with pytest.raises(PermissionDenied):
            CALLS[action][number](session, PEOPLE[role])
        assert audit_log.list_entries(session) == before


@pytest.mark.parametrize("action", [action for action in CALLS if action not in {"review.claim", "dead_letter.replay"}])
def test_every_change_is_in_the_audit_log(session: Session, action: Action) -> None:
    admin = PEOPLE[Role.ADMIN]
    unchanged = {"alert.unmute", "user.enable"}  # there is nothing to unmute or enable here
    CALLS[action][0](session, admin)
    newest = audit_log.list_entries(session, audit_log.AuditFilter(since=LATER))
    assert [(entry.actor, entry.role, entry.action) for entry in newest] == (
        [] if action in unchanged else [(admin.name, "admin", action)]
    )
    assert "secret" not in str(newest)


def test_without_users_everything_is_allowed_and_with_users_the_stored_role_counts(database: Database) -> None:
    everybody, engineer = Actor(SINGLE_USER, Role.ADMIN), Actor("m.weber", Role.ENGINEER)
    with database.begin() as session:
        station_actions.add(session, everybody, "s1", StationSettings(), NOON)
        user_actions.add(session, everybody, "boss", Role.ADMIN, None, NOON)
        with pytest.raises(PermissionDenied):
            station_actions.add(session, everybody, "s2", StationSettings(), NOON)
        with pytest.raises(PermissionDenied):
            station_actions.add(session, engineer, "s2", StationSettings(), NOON)
        boss = Actor("boss", Role.ADMIN)
        user_actions.add(session, boss, "m.weber", Role.ENGINEER, None, NOON)
        station_actions.add(session, engineer, "s2", StationSettings(), NOON)
        user_actions.set_role(session, boss, "m.weber", Role.VIEWER, NOON)
        with pytest.raises(PermissionDenied):  # the page still has the old role
            station_actions.add(session, engineer, "s3", StationSettings(), NOON)
        user_actions.set_role(session, boss, "m.weber", Role.ENGINEER, NOON)
        user_actions.disable(session, boss, "m.weber", NOON)
        with pytest.raises(PermissionDenied):
            station_actions.add(session, engineer, "s3", StationSettings(), NOON)
        assert [station.name for station in stations.list_all(session)] == ["s1", "s2"]


def test_only_an_engineer_retracts_another_persons_label(session: Session) -> None:
    inspector, engineer = PEOPLE[Role.INSPECTOR], PEOPLE[Role.ENGINEER]
    (result,) = review_actions.label(session, PEOPLE[Role.ADMIN], [LabelSubmission(uuid4(), FRAME, "defect")], LATER)
    with pytest.raises(PermissionDenied):
        review_actions.undo(session, inspector, uuid4(), LATER, result.review.id)
    assert review_actions.undo(session, engineer, uuid4(), LATER, result.review.id).is_new

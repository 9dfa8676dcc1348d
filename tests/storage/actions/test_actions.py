"""The changes and audit entries of each action, by subject."""

from uuid import UUID

import pytest

from storage.actions import golden_frames as golden_frame_actions
from storage.actions import normal_sets as normal_set_actions
from storage.actions import stations as station_actions
from storage.actions import thresholds as threshold_actions
from storage.auth import audit_log
from storage.auth.actors import Actor, Role
from storage.database.engine import Database
from storage.errors import InvalidChange
from storage.line import golden_frames, normal_candidates, normal_sets, stations, thresholds, verdicts
from storage.line.normal_sets import NormalSetDiff
from storage.line.stations import StationSettings
from storage.line.thresholds import Threshold
from tests.storage.examples import IMAGE, NOON, add_active_set, add_station, good_images, make_verdict

MIA = Actor("mia", Role.ENGINEER)
FRAME = UUID(int=7)


def test_a_draft_from_candidates_adds_them_and_drops_named_images(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session, "s1")
        active = add_active_set(session, station)
        verdicts.record(session, [make_verdict(active, frame_id=FRAME, decision="flag", score=0.7)])
        assert normal_set_actions.propose(session, MIA, FRAME, NOON)
        assert not normal_set_actions.propose(session, MIA, FRAME, NOON)
        kept, dropped = active.images
        draft = normal_set_actions.draft_from_candidates(session, MIA, "s1", "glare", NOON, drop=[dropped.reference])
        assert (draft.state, draft.version) == ("draft", 2)
        assert [image.reference for image in draft.images] == [kept.reference, IMAGE]
        assert str(FRAME) in draft.images[1].name
        assert normal_sets.diff(active, draft) == NormalSetDiff((draft.images[1],), (dropped,), (kept,))
        assert normal_sets.diff(None, draft) == NormalSetDiff(draft.images, (), ())
        assert normal_candidates.list_all(session, station.id) == []
        entry = audit_log.list_entries(session)[0]
        assert (entry.action, entry.after["added"], entry.after["removed"]) == (
            "normal_set.add",
            [IMAGE],
            [dropped.reference],
        )


def test_a_draft_extends_its_base_version_and_never_equals_it(database: Database) -> None:
    with database.begin() as session:
        active = add_active_set(session, add_station(session, "s1"))
        bigger = normal_set_actions.draft(session, MIA, "s1", good_images(5, 3), "", NOON)
        biggest = normal_set_actions.draft(session, MIA, "s1", good_images(5, 4), "", NOON, base=bigger.version)
        assert len(biggest.images) == len(active.images) + 4
        with pytest.raises(InvalidChange):
            normal_set_actions.draft(session, MIA, "s1", active.images, "", NOON)


def test_withdrawn_candidates_are_not_drafted(database: Database) -> None:
    with database.begin() as session:
        active = add_active_set(session, add_station(session, "s1"))
        verdicts.record(session, [make_verdict(active, frame_id=FRAME)])
        normal_set_actions.propose(session, MIA, FRAME, NOON)
        assert normal_set_actions.withdraw(session, MIA, "s1", [IMAGE], NOON) == 1
        assert normal_set_actions.withdraw(session, MIA, "s1", [IMAGE], NOON) == 0
        with pytest.raises(InvalidChange):
            normal_set_actions.draft_from_candidates(session, MIA, "s1", "", NOON)


def test_a_bad_picture_is_not_proposed_as_a_normal(database: Database) -> None:
    with database.begin() as session:
        active = add_active_set(session, add_station(session, "s1"))
        verdicts.record(session, [make_verdict(active, frame_id=FRAME, decision="bad_picture")])
    with pytest.raises(InvalidChange), database.begin() as session:
        normal_set_actions.propose(session, MIA, FRAME, NOON)
    with database.read() as session:
        assert normal_candidates.list_all(session, active.station_id) == []


def test_a_manual_threshold_is_in_force_with_its_reason(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session, "s1")
        with pytest.raises(InvalidChange):
            threshold_actions.set_manually(session, MIA, "s1", 0.6, "glare", NOON)
        active = add_active_set(session, station)
        with pytest.raises(InvalidChange):
            threshold_actions.set_manually(session, MIA, "s1", 0.6, "glare", NOON)
        calibrated = Threshold(station.id, active.id, "0c5f", 0.5, 0.01, "a promise", NOON, "worker-1")
        thresholds.record(session, calibrated)
        with pytest.raises(InvalidChange):
            threshold_actions.set_manually(session, MIA, "s1", 0.6, " ", NOON)
        draft = threshold_actions.set_manually(session, MIA, "s1", 0.6, "glare", NOON)
        assert thresholds.current(session, station.id, active.id, "0c5f") == draft
        assert (draft.kind, draft.reason, draft.made_by, draft.false_reject_rate) == ("manual", "glare", "mia", 0.01)
        assert thresholds.history(session, station.id) == [draft, calibrated]
        entry = audit_log.list_entries(session)[0]
        assert (entry.before, entry.after["value"], entry.reason) == (
            {"value": 0.5, "kind": "calibrated"},
            0.6,
            "glare",
        )


def test_a_manual_threshold_keeps_the_review_limit_unless_it_is_below_it(database: Database) -> None:
    with database.begin() as session:
        station = add_station(session, "s1")
        active = add_active_set(session, station)
        calibrated = Threshold(station.id, active.id, "0c5f", 0.5, 0.01, "", NOON, "worker-1", review_limit=0.4)
        thresholds.record(session, calibrated)
        made = [threshold_actions.set_manually(session, MIA, "s1", value, "glare", NOON) for value in (0.6, 0.3)]
    assert [(one.value, one.review_limit) for one in made] == [(0.6, 0.4), (0.3, 0.3)]


def test_a_golden_frame_agrees_while_it_scores_the_same(database: Database) -> None:
    with database.begin() as session:
        active = add_active_set(session, add_station(session, "s1"))
        unscored = UUID(int=8)
        verdicts.record(
            session,
            [
                make_verdict(active, frame_id=FRAME, score=0.25),
                make_verdict(active, frame_id=unscored, decision="no_reference"),
            ],
        )
        with pytest.raises(InvalidChange):
            golden_frame_actions.choose(session, MIA, unscored, NOON)
        chosen = golden_frame_actions.choose(session, MIA, FRAME, NOON)
        assert golden_frames.find(session, active.station_id) == chosen
        assert chosen.agrees is None
        assert golden_frames.record_score(session, active.station_id, 0.25001, "worker-1", NOON).agrees is True
        assert golden_frames.record_score(session, active.station_id, 0.26, "worker-1", NOON).agrees is False


def test_an_action_that_changes_nothing_is_not_recorded(database: Database) -> None:
    with database.begin() as session:
        station_actions.add(session, MIA, "s1", StationSettings(), NOON)
        station_actions.edit(session, MIA, "s1", StationSettings(), NOON)
        threshold_actions.set_false_reject_rate(session, MIA, "s1", 0.02, "fewer alarms", NOON)
        assert stations.get(session, "s1").settings.false_reject_rate == 0.02
        assert [entry.action for entry in audit_log.list_entries(session)] == ["threshold.set", "station.add"]

"""The guard rails of a station that activates normals by itself."""

from scorer.learning.activation_guard import TrialFrame, reasons_against

QUIET = [TrialFrame(0.1, 0.1, None)] * 190
FLAGGED = [TrialFrame(0.6, 0.6, None)] * 10


def test_a_set_that_decides_as_the_present_one_may_be_activated() -> None:
    assert reasons_against([*QUIET, *FLAGGED], 0.5, 0.5, drift=False) == []


def test_drift_freezes() -> None:
    assert len(reasons_against([*QUIET, *FLAGGED], 0.5, 0.5, drift=True)) == 1


def test_without_a_threshold_of_its_own_nothing_is_activated() -> None:
    assert len(reasons_against(QUIET, 0.5, None, drift=False)) == 1


def test_no_confirmed_defect_that_is_flagged_today_may_pass() -> None:
    assert len(reasons_against([*QUIET, TrialFrame(0.6, 0.4, "defect")], 0.5, 0.5, drift=False)) == 1
    assert reasons_against([*QUIET, TrialFrame(0.4, 0.4, "defect")], 0.5, 0.5, drift=False) == []


def test_one_in_ten_of_the_flagged_frames_may_pass_unreviewed_and_two_may_not() -> None:
    released = TrialFrame(0.6, 0.4, None)
    assert reasons_against([*QUIET, *FLAGGED[1:], released], 0.5, 0.5, drift=False) == []
    assert len(reasons_against([*QUIET, *FLAGGED[2:], released, released], 0.5, 0.5, drift=False)) == 1


def test_frames_that_people_called_good_may_pass() -> None:
    assert reasons_against([*QUIET, *[TrialFrame(0.6, 0.4, "false_alarm")] * 10], 0.5, 0.5, drift=False) == []


def test_a_set_that_flags_more_than_three_percent_and_one_of_the_stream_is_left_to_a_person() -> None:
    stricter = [TrialFrame(0.1, 0.6, None)]
    assert reasons_against([*QUIET[:96], *stricter * 4], 0.5, 0.5, drift=False) == []
    assert len(reasons_against([*QUIET[:95], *stricter * 5], 0.5, 0.5, drift=False)) == 1

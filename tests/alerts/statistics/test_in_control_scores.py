"""Only scores of one scale are compared: by one normal set, one model and one mask."""

from dataclasses import replace

import numpy as np
import pytest

from alerts.statistics.in_control_scores import monitored_log_scores
from storage.alerts.rule_inputs import VerdictEvent
from tests.alerts.examples import station_view, verdict_event


@pytest.mark.parametrize("change", [{"mask_version": 1}, {"model_id": "n"}, {"normal_set_id": 2}])
def test_frames_on_another_scale_are_not_monitored(change: dict[str, object]) -> None:
    before = [verdict_event(number, score=0.2) for number in range(4)]
    same: VerdictEvent = verdict_event(4, score=0.25)
    changed = replace(verdict_event(5, score=0.9), **change)  # type: ignore[arg-type]
    view = station_view([*before, same, changed], in_control=before)
    assert monitored_log_scores(view, 4) == pytest.approx([np.log(0.25)])

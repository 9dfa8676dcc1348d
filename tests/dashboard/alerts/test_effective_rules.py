"""The effective setting of an alert rule."""

from dashboard.alerts import effective_rules
from storage.alerts.alert_rules import AlertRule


def test_a_station_s_rule_overrides_the_line_s_and_that_the_defaults() -> None:
    of_line = AlertRule(None, "flagged_share", {"limit": 0.4}, True)
    own = AlertRule(1, "flagged_share", {"limit": 0.5}, False)
    assert effective_rules.parameters([], 1, "flagged_share")["limit"] == 0.2
    assert effective_rules.parameters([own, of_line], 2, "flagged_share")["limit"] == 0.4
    chosen = {rule.kind: rule for rule in effective_rules.for_scope([of_line, own], 1, "station")}["flagged_share"]
    assert (chosen.parameters["limit"], chosen.enabled, chosen.origin) == (0.5, False, "station")
    assert {rule.kind for rule in effective_rules.for_scope([], None, "line")}.isdisjoint({"flagged_share"})

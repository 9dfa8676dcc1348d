"""Alert rules: their settings for every station, for one station, and for the line."""

from collections.abc import Mapping
from typing import Any

import streamlit as st
from sqlalchemy.orm import Session

from alerts.rules import registry
from dashboard import mutations
from dashboard.alerts import effective_rules
from dashboard.alerts.effective_rules import EffectiveRule, Origin
from dashboard.context import PageContext
from storage.actions import alerts as alert_actions
from storage.alerts import alert_rules
from storage.alerts.alert_rules import AlertRule
from storage.auth.actors import Actor
from storage.line import stations

EVERY_STATION, LINE = "Every station", "The line itself"
ABBREVIATIONS = ("cusum", "ewma")
ORIGINS: Mapping[Origin, str] = {
    "defaults": "defaults",
    "line": "set for every station",
    "station": "set for this station",
}


def panel(page: PageContext) -> None:
    """Draw the rules of a station, of every station, or of the line."""
    with page.read() as session:
        station_ids = {station.name: station.id for station in stations.list_all(session)}
        settings = alert_rules.list_all(session)
    st.markdown("A rule has its defaults until you set it, for every station or for one station.")
    chosen = st.selectbox("For", [EVERY_STATION, *station_ids, LINE], key="rules-of", width=280) or EVERY_STATION
    station_id = station_ids.get(chosen)
    for rule in effective_rules.for_scope(settings, station_id, "line" if chosen == LINE else "station"):
        rule_form(page, rule, station_id)


def rule_form(page: PageContext, rule: EffectiveRule, station_id: int | None) -> None:
    """Draw a rule with a form that sets it; `station_id` is None for every station and for the line."""
    allowed, key = page.is_allowed("alert_rule.set"), f"{rule.kind}-{station_id or 0}"
    icon = ":material/notifications_active:" if rule.enabled else ":material/notifications_off:"
    is_own = rule.origin == ("line" if station_id is None else "station")
    origin = "set here" if is_own and station_id is None else ORIGINS[rule.origin]
    title = f"**{rule.name}** · {rule.severity} · {'on' if rule.enabled else 'off'} · {origin}"
    with st.expander(title, icon=icon, key=f"rule-{rule.kind}"):
        st.markdown(rule.description)
        with st.form(f"form-{key}", border=False):
            enabled = st.toggle("Enabled", value=rule.enabled, key=f"on-{key}", disabled=not allowed)
            with st.grid(min_column_width=190, gap="small"):
                values = {
                    name: parameter_field(f"{name}-{key}", name, value, enabled=allowed)
                    for name, value in rule.parameters.items()
                }
            reason = st.text_input("Reason", key=f"reason-{key}", max_chars=500, disabled=not allowed)
            submitted = st.form_submit_button("Save", icon=":material/save:", disabled=not allowed)
        if submitted:
            save(page, station_id, rule, values, reason, enabled=enabled)
            st.rerun()
        if is_own and allowed:
            st.button("Reset to defaults", key=f"defaults-{key}", on_click=reset, args=(page, station_id, rule))


def parameter_field(key: str, name: str, value: Any, *, enabled: bool) -> Any:
    """Draw a field that fits the parameter's type, and return its value."""
    text = parameter_label(name)
    if isinstance(value, bool):
        return st.toggle(text, value=value, key=key, disabled=not enabled)
    if isinstance(value, int):
        return st.number_input(text, value=value, step=1, key=key, disabled=not enabled)
    return st.number_input(text, value=float(value), step=None, format="%g", key=key, disabled=not enabled)


def parameter_label(name: str) -> str:
    """Return a parameter's name in words: ``ewma_weight`` as ``EWMA weight``, ``for_s`` as ``For, in seconds``."""
    words = name.removesuffix("_s").split("_")
    text = " ".join(word.upper() if word in ABBREVIATIONS else word for word in words)
    return text[0].upper() + text[1:] + (", in seconds" if name.endswith("_s") else "")


def save(
    page: PageContext,
    station_id: int | None,
    rule: EffectiveRule,
    values: Mapping[str, Any],
    reason: str,
    *,
    enabled: bool,
) -> None:
    """Store the parameters that differ from the defaults, so that a better default applies to the others."""

    def change(session: Session, actor: Actor) -> None:
        registry.create_rule(rule.kind, values)  # raises for values that are not valid
        defaults = registry.default_parameters(registry.rules_by_kind()[rule.kind])
        changed = {name: value for name, value in values.items() if value != defaults[name]}
        setting = AlertRule(station_id, rule.kind, changed, enabled)
        alert_actions.set_rule(session, actor, setting, page.now(), reason)

    mutations.apply(page, change, f"{rule.name} was saved. The alert service follows within seconds.")


def reset(page: PageContext, station_id: int | None, rule: EffectiveRule) -> None:
    """Return a rule to its defaults."""
    enabled = bool(registry.rules_by_kind()[rule.kind].on_by_default)
    setting = AlertRule(station_id, rule.kind, {}, enabled)
    mutations.apply(
        page,
        lambda session, actor: alert_actions.set_rule(session, actor, setting, page.now()),
        f"{rule.name} was reset to its defaults.",
    )

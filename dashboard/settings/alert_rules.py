"""Alert rules: how each is set for every station, for one, and for the line."""

from collections.abc import Mapping
from typing import Any, Literal

import streamlit as st
from sqlalchemy.orm import Session

from alerts.rules import registry
from dashboard import context, mutations
from dashboard.alerts import effective_rules
from dashboard.alerts.effective_rules import EffectiveRule
from dashboard.auth import identity
from storage.actions import alerts as actions
from storage.alerts import alert_rules
from storage.alerts.alert_rules import AlertRule
from storage.auth.actors import Actor
from storage.line import stations

EVERY, LINE = "Every station", "The line itself"
ORIGINS = {"defaults": "as it comes", "line": "set for every station", "station": "set for this station"}


def panel() -> None:
    with context.reading() as session:
        places = {place.name: place.id for place in stations.list_all(session)}
        settings = alert_rules.list_all(session)
    st.markdown("A rule is watched as it comes unless you set it: for every station, or for one station on its own.")
    place = st.selectbox("For", [EVERY, *places, LINE], key="rules-of", width=280) or EVERY
    scope: Literal["line", "station"] = "line" if place == LINE else "station"
    may_set = identity.may("alert_rule.set")
    for rule in effective_rules.at(settings, places.get(place), scope):
        one(rule, places.get(place), may_set)


def one(rule: EffectiveRule, station_id: int | None, may_set: bool) -> None:
    mark = ":material/notifications_active:" if rule.enabled else ":material/notifications_off:"
    origin = ORIGINS[rule.origin] if station_id is not None or rule.origin == "defaults" else "set by you"
    title = f"**{rule.label}** · {rule.severity} · {'on' if rule.enabled else 'off'} · {origin}"
    with st.expander(title, icon=mark, key=f"rule-{rule.kind}"):
        st.markdown(rule.about)
        place = f"{rule.kind}-{station_id or 0}"
        with st.form(f"form-{place}", border=False):
            enabled = st.toggle("Watch it", value=rule.enabled, key=f"on-{place}", disabled=not may_set)
            with st.grid(min_column_width=190, gap="small"):
                given = {name: field(place, name, value, may_set) for name, value in rule.parameters.items()}
            reason = st.text_input("Reason", key=f"reason-{place}", max_chars=500, disabled=not may_set)
            saved = st.form_submit_button("Save", icon=":material/save:", disabled=not may_set)
        if saved:
            put(station_id, rule, given, enabled, reason)
            st.rerun()
        if rule.origin == ("station" if station_id is not None else "line") and may_set:
            st.button("Use the defaults again", key=f"defaults-{place}", on_click=as_it_comes, args=(station_id, rule))


def field(place: str, name: str, value: Any, may_set: bool) -> Any:
    """A widget that fits the parameter's type."""
    key, label = f"{name}-{place}", name.replace("_", " ")
    if isinstance(value, bool):
        return st.toggle(label, value=value, key=key, disabled=not may_set)
    if isinstance(value, int):
        return st.number_input(label, value=value, step=1, key=key, disabled=not may_set)
    return st.number_input(label, value=float(value), step=None, format="%g", key=key, disabled=not may_set)


def put(station_id: int | None, rule: EffectiveRule, given: Mapping[str, Any], enabled: bool, reason: str) -> None:
    """Keep only what differs from the defaults, so that a better default reaches those who never chose."""

    def change(session: Session, who: Actor) -> None:
        registry.create_rule(rule.kind, given)
        defaults = registry.default_parameters(registry.rules_by_kind()[rule.kind])
        kept = {name: value for name, value in given.items() if value != defaults[name]}
        actions.set_rule(session, who, AlertRule(station_id, rule.kind, kept, enabled), context.now(), reason)

    mutations.act(change, f"{rule.label} is set; the watch follows at its next look.")


def as_it_comes(station_id: int | None, rule: EffectiveRule) -> None:
    on = bool(registry.rules_by_kind()[rule.kind].on_by_default)
    mutations.act(
        lambda session, who: actions.set_rule(session, who, AlertRule(station_id, rule.kind, {}, on), context.now()),
        f"{rule.label} is as it comes.",
    )

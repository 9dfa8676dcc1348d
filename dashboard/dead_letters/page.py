"""The dead letters page: messages that could not become a verdict, why, and how to replay them."""

from collections.abc import Mapping

import streamlit as st
from markupsafe import Markup

from dashboard import formatting
from dashboard.components import elements
from dashboard.context import PageContext, draw_live
from storage.line import dead_letters, verdicts
from storage.line.dead_letters import DeadLetter

PAGE_SIZE = 50
PAGE = "letters_page"
DEFAULT_FILTER = "Not replayed"
FILTERS: Mapping[str, bool | None] = {DEFAULT_FILTER: False, "Replayed": True, "All": None}


def dead_letters_page(page: PageContext) -> None:
    """Draw the choice of dead letters, and those."""
    st.title("Dead letters")
    st.markdown(
        "A message that can't be parsed, decoded or matched to a station is stored here whole, and the line goes on. "
        "Correct the cause, then replay the message with `andon dead-letters replay ID`."
    )
    filter_name = st.segmented_control(
        "Show",
        list(FILTERS),
        default=DEFAULT_FILTER,
        required=True,
        key="replay_state",
        bind="query-params",
        label_visibility="collapsed",
    )
    draw_live(page, dead_letter_list, None, filter_name or DEFAULT_FILTER)


def dead_letter_list(page: PageContext, filter_name: str) -> None:
    """Draw a page of dead letters and the selected one in full."""
    replayed, number = FILTERS[filter_name], int(st.session_state.get(PAGE, 1))
    with page.read() as session:
        total = dead_letters.count(session, replayed=replayed)
        pages = max(1, -(-total // PAGE_SIZE))
        number = min(number, pages)
        letters = dead_letters.recent(session, replayed=replayed, limit=PAGE_SIZE, offset=(number - 1) * PAGE_SIZE)
        has_verdicts = bool(verdicts.recent(session, limit=1))
    if not letters and not has_verdicts and filter_name == DEFAULT_FILTER:
        st.info("No frame was inspected so far.", icon=":material/hourglass_empty:")
        return
    if not letters:
        st.success(nothing_listed(filter_name), icon=":material/mark_email_read:")
        return
    selected = table(page, letters)
    if total > PAGE_SIZE:
        if number != st.session_state.get(PAGE, 1):
            st.session_state[PAGE] = number
        st.pagination(pages, key=PAGE)
    st.caption(formatting.plural(total, "dead letter"))
    if selected is not None:
        detail(page, selected)


def nothing_listed(filter_name: str) -> str:
    """Return why the list is empty."""
    if filter_name == DEFAULT_FILTER:
        return "There is no dead letter to replay: every message became a verdict or was replayed."
    return "No dead letter was replayed so far." if filter_name == "Replayed" else "There are no dead letters."


def table(page: PageContext, letters: list[DeadLetter]) -> DeadLetter | None:
    """Draw dead letters as a table and return the selected one, or None."""
    now = page.now()
    rows = [
        {
            "ID": letter.id,
            "Time": formatting.ago(letter.occurred_at, now),
            "Reason": letter.reason,
            "Station": letter.station or "–",
            "Error": letter.error,
            "Size": formatting.size(letter.payload_bytes),
            "Bus position": bus_position(letter),
            "Replayed": formatting.ago(letter.replayed_at, now) if letter.replayed_at else "no",
        }
        for letter in letters
    ]
    event = st.dataframe(
        rows,
        key="letters_table",
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [0]}},
        column_config={
            "Error": st.column_config.TextColumn(width="large"),
            "ID": st.column_config.NumberColumn(width="small"),
        },
        alt="Dead letters, newest first",
    )
    selected = event.selection.rows
    return letters[selected[0]] if selected and selected[0] < len(letters) else None


def detail(page: PageContext, letter: DeadLetter) -> None:
    """Draw a dead letter in full, with the commands that inspect and replay it."""
    with st.container(border=True, key="card-letter"):
        st.html(elements.heading(f"Dead letter {letter.id}", letter.reason))
        st.markdown(formatting.escape_markdown(letter.error))
        left, right = st.columns([3, 2], gap="medium")
        with left:
            st.html(origin(page, letter))
        with right:
            st.markdown("Inspect the message, and replay it once the cause is corrected:")
            st.code(
                f"andon dead-letters show {letter.id}\nandon dead-letters replay {letter.id}",
                language="bash",
                wrap_lines=True,
            )


def origin(page: PageContext, letter: DeadLetter) -> Markup:
    """Return where a dead letter came from, with its headers."""
    headers = "; ".join(f"{name}: {as_text(value)}" for name, value in letter.headers)
    replayed = formatting.timestamp(letter.replayed_at, page.time_zone) if letter.replayed_at else "no"
    return elements.description_list(
        [
            ("Time", formatting.timestamp(letter.occurred_at, page.time_zone)),
            ("Bus position", bus_position(letter)),
            ("Station in the message", letter.station),
            ("Key", letter.key),
            ("Headers", headers or "none"),
            ("Payload", f"{formatting.size(letter.payload_bytes)}, {letter.payload_reference}"),
            ("Replayed", replayed),
        ]
    )


def bus_position(letter: DeadLetter) -> str:
    """Return topic, partition and offset of a message."""
    return f"{letter.topic} / {letter.partition} / {letter.offset}"


def as_text(value: bytes) -> str:
    """Return bytes as text, or in hexadecimal where they are not UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.hex()

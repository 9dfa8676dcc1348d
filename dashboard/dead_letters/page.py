"""Dead letters: messages that could not become a verdict, why, and how to send them again."""

import streamlit as st

from dashboard import context, formatting
from dashboard.components import elements, verdict_html
from storage.line import dead_letters
from storage.line.dead_letters import DeadLetter

PAGE_SIZE = 50
SHOW: dict[str, bool | None] = {"Waiting": False, "Replayed": True, "All": None}


def dead_letters_page() -> None:
    st.title("Dead letters")
    st.markdown(
        "A message that can't be parsed, decoded or matched to a station is kept whole here and never stops the line. "
        "Put the cause right, then send it again with `andon dead-letters replay ID`."
    )
    show = st.segmented_control(
        "Show",
        list(SHOW),
        default="Waiting",
        required=True,
        key="letters",
        bind="query-params",
        label_visibility="collapsed",
    )
    context.live(listed, None, show or "Waiting")


def listed(show: str) -> None:
    page = int(st.session_state.get("letters_page", 1))
    with context.reading() as session:
        total = dead_letters.count(session, replayed=SHOW[show])
        page = min(page, max(1, -(-total // PAGE_SIZE)))
        letters = dead_letters.recent(session, replayed=SHOW[show], limit=PAGE_SIZE, offset=(page - 1) * PAGE_SIZE)
    if not letters:
        st.success(none_shown(show), icon=":material/mark_email_read:")
        return
    chosen = table(letters)
    if total > PAGE_SIZE:
        if page != st.session_state.get("letters_page", 1):
            st.session_state["letters_page"] = page
        st.pagination(-(-total // PAGE_SIZE), key="letters_page")
    st.caption(formatting.plural(total, "dead letter"))
    if chosen is not None:
        detail(chosen)


def none_shown(show: str) -> str:
    if show == "Waiting":
        return "No dead letters wait: every message became a verdict, or was replayed."
    return "Nothing was replayed so far." if show == "Replayed" else "There are no dead letters."


def table(letters: list[DeadLetter]) -> DeadLetter | None:
    """The list; returns the row that is selected."""
    now = context.now()
    rows = [
        {
            "ID": letter.id,
            "When": formatting.ago(letter.occurred_at, now),
            "Reason": letter.reason,
            "Station": letter.station or "–",
            "Error": letter.error,
            "Size": formatting.size(letter.payload_bytes),
            "Place": f"{letter.topic} / {letter.partition} / {letter.offset}",
            "Replayed": formatting.ago(letter.replayed_at, now) if letter.replayed_at else "no",
        }
        for letter in letters
    ]
    picked = st.dataframe(
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
    selected = picked.selection.rows
    return letters[selected[0]] if selected and selected[0] < len(letters) else None


def detail(letter: DeadLetter) -> None:
    with st.container(border=True, key="card-letter"):
        st.html(elements.heading(f"Dead letter {letter.id}", letter.reason))
        st.markdown(letter.error.replace("`", "'"))
        left, right = st.columns([3, 2], gap="medium")
        with left:
            st.html(verdict_html.letter(letter, context.zone()))
        with right:
            st.markdown("Look at it, and send it again once its cause is put right:")
            st.code(
                f"andon dead-letters show {letter.id}\nandon dead-letters replay {letter.id}",
                language="bash",
                wrap_lines=True,
            )


dead_letters_page()

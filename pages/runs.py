"""Which settings won, and what differs? All runs in one table, a few of them beside each other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from deepfm.charts.palette import NO_VALUE
from deepfm.errors import DeepFMError
from deepfm.ui import links, state
from deepfm.ui.compared import compare
from deepfm.ui.plot import revision_of
from deepfm.ui.run_table import differences, runs_table, settings_in_words, table_columns
from deepfm.ui.text import plain, show_error
from deepfm.ui.watching import STATE_WORDS, stop_button

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

MOST_SHOWN = 300
REFRESH_SECONDS = 1.0
SELECTED = "selected"
ORDER = "runs_order"


def page() -> None:
    """The table, drawn again by itself while a run goes on."""
    st.title("Which settings won, and what differs?", anchor=False)
    try:
        rows = state.store().runs(limit=MOST_SHOWN)
        if not rows:
            first_run()
            return
        interval = REFRESH_SECONDS if any(not row.ended for row in rows) else None
        st.fragment(show_runs, run_every=interval)(interval)
    except DeepFMError as error:
        show_error(error)


def first_run() -> None:
    """What to do while there is no run."""
    st.markdown("No run yet. Each training is kept here with its settings, curves and results.")
    with st.container(horizontal=True):
        links.link("train", "Train the demo", dataset=state.DEMO)
        links.link("data", "Load your own click log")


def show_runs(interval: float | None) -> None:
    """Filter, table, and what can be done with the runs that are ticked."""
    rows = state.store().runs(limit=MOST_SHOWN)
    if any(not row.ended for row in rows) != (interval is not None) or not rows:
        st.rerun()
    shown = filtered(rows)
    if not shown:
        st.caption("No run fits this filter.")
        return
    choose(shown)
    ids = st.query_params.get_all(SELECTED)
    chosen = [row for row in shown if row.id in ids]
    if not chosen:
        st.caption("Tick one run to open, rename or delete it; two or more to compare them.")
    elif len(chosen) == 1:
        show_one(chosen[0])
    else:
        show_several(chosen)


def filtered(rows: Sequence["RunRow"]) -> list["RunRow"]:
    """Runs whose name, model settings, dataset or state hold every word that was typed."""
    words = st.text_input(
        "Filter",
        key="filter",
        bind="query-params",
        placeholder="Filter by name, dataset, state or setting",
        label_visibility="collapsed",
        icon=":material/filter_alt:",
    )
    wanted = words.lower().split()
    return [row for row in rows if all(word in searched_text(row) for word in wanted)]


def searched_text(row: "RunRow") -> str:
    """What the filter looks through, in lower case."""
    words = (row.name, row.dataset_name, STATE_WORDS[row.state], settings_in_words(row))
    return " ".join((*words, row.group_name)).lower()


def choose(rows: Sequence["RunRow"]) -> None:
    """The table; what is ticked goes into the address."""
    ids = [row.id for row in rows]
    selected = st.query_params.get_all(SELECTED)
    # Ticks are kept by place: another list of runs is another table.
    key = f"runs_{revision_of(*ids)}"
    st.session_state[ORDER] = ids
    st.dataframe(
        runs_table(rows),
        key=key,
        hide_index=True,
        placeholder=NO_VALUE,
        height=min(38 + 35 * len(rows), 388),
        column_config=table_columns(),
        on_select=lambda: ticked(key),
        selection_mode="multi-row",
        selection_default={
            "selection": {"rows": [ids.index(each) for each in selected if each in ids]}
        },
    )


def ticked(key: str) -> None:
    """The ticked rows' ids into the address."""
    ids = st.session_state[ORDER]
    rows = st.session_state[key].selection.rows
    st.query_params[SELECTED] = [ids[place] for place in rows if place < len(ids)]


def show_one(row: "RunRow") -> None:
    """Where one run can be looked at, and what can be done with it."""
    st.subheader(plain(row.name), anchor=False)
    st.caption(plain(f"{STATE_WORDS[row.state]} · {row.dataset_name} · {settings_in_words(row)}"))
    if row.message:
        st.caption(plain(row.message))
    with st.container(horizontal=True, vertical_alignment="center"):
        links.link("train", "Watch its training", run=row.id)
        if state.is_trained(row) and row.result:
            links.link("evaluate", "Evaluate", run=row.id)
            links.link("impression", "Explain an impression", run=row.id)
        if row.ended:
            rename(row)
            delete([row])
        else:
            stop_button(row, key="runs_stop")


def rename(row: "RunRow") -> None:
    """A name of one's own."""
    with st.popover("Rename", icon=":material/edit:"), st.form("rename", border=False):
        name = st.text_input("Name", value=row.name, max_chars=80, key=f"rename_{row.id}")
        if st.form_submit_button("Rename"):
            if name.strip():
                state.store().rename_run(row.id, " ".join(name.split()))
                st.rerun()
            st.caption("A name needs at least one letter.")


def delete(rows: Sequence["RunRow"]) -> None:
    """Delete runs, after it was said what goes with them."""
    count = len(rows)
    what = "this run" if count == 1 else f"these {count} runs"
    with st.popover("Delete", icon=":material/delete:"):
        st.markdown(f"Delete {what} with the model, curves and results? This cannot be undone.")
        if st.button("Delete for good", type="primary", key="delete_runs"):
            try:
                for row in rows:
                    state.store().delete_run(row.id)
            except DeepFMError as error:
                show_error(error)
                return
            st.query_params.pop(SELECTED, None)
            st.rerun()


def show_several(rows: Sequence["RunRow"]) -> None:
    """Curves over each other, and settings that differ beside the results that differ."""
    st.subheader(f"{len(rows)} runs beside each other", anchor=False)
    compare(rows, key="several", results=False)
    st.markdown("**What differs in settings, and in results**")
    table = differences(rows)
    st.dataframe(table, hide_index=True, height=min(38 + 35 * len(table), 600), key="differences")
    if all(row.ended for row in rows):
        delete(rows)
    else:
        st.caption("Runs that wait or train cannot be deleted; stop them first.")


page()

"""Which settings won, and what differs? All runs in one table, a few of them beside each other."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from deepfm.errors import DeepFMError, StoreError
from deepfm.sweeps import KIND
from deepfm.ui import links, run_actions, run_list, state
from deepfm.ui.copy_link import copy_link
from deepfm.ui.report_button import run_report_button
from deepfm.ui.run_compare import compare_runs
from deepfm.ui.run_lines import Line, table_lines
from deepfm.ui.run_list import Wanted
from deepfm.ui.run_table import Actions, show_table
from deepfm.ui.run_words import settings_in_words
from deepfm.ui.sweep_view import watch_sweep
from deepfm.ui.text import mistakes_in_words, plain, show_error, show_notice
from deepfm.ui.watching import STATE_WORDS, resume_button, stop_button

if TYPE_CHECKING:
    from deepfm.runs.store import Overview, RunRow

REFRESH_SECONDS = 1.0
STYLE = """<style>
.stMainBlockContainer { max-width: 116rem; }
.st-key-rename_box .stTextInput { margin-bottom: 0.5rem; }
.st-key-rename_box [data-testid="InputInstructions"] { transform: translateY(1.4rem); }
</style>"""
"""A table of twelve columns has more use for a wide screen than a text has; and what is said of a
name that is typed stands below it, not over it."""
FOLLOW = "runs_follow"


def page() -> None:
    """The table, drawn again by itself while a run goes on."""
    st.html(STYLE)
    st.title("Which settings won, and what differs?", anchor=False)
    try:
        if not state.store().runs(limit=1):
            first_run()
            return
        interval = REFRESH_SECONDS if something_goes_on() else None
        st.fragment(show_runs, run_every=interval)(interval)
    except DeepFMError as error:
        show_error(error)


def something_goes_on() -> bool:
    """Whether any run waits or trains."""
    return bool(state.store().runs(states=("queued", "training"), limit=1))


def first_run() -> None:
    """What to do while there is no run."""
    st.markdown("No run yet. Each training is kept here with its settings, curves and results.")
    with st.container(horizontal=True):
        links.link("train", "Train the demo", dataset=state.DEMO)
        links.link("data", "Load your own click log")
        run_actions.import_run()


@mistakes_in_words()
def show_runs(interval: float | None) -> None:
    """Filters, table, and what can be done with the runs that are ticked."""
    if run_id := st.session_state.pop(FOLLOW, ""):
        links.go_to("train", run=run_id)
    if something_goes_on() != (interval is not None):
        st.rerun()
    wanted = run_list.choose_filters()
    chosen, unknown = run_list.ticked()
    found = run_list.read_page(wanted)
    if found.items:
        show_list(found, wanted, chosen)
    else:
        nothing_fits(wanted)
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            run_list.choose_page(found, wanted)
        run_actions.import_run()
    run_actions.say_what_came(chosen)
    if unknown:
        say_unknown(unknown, chosen)
    show_chosen(chosen)
    if group_id := st.query_params.get(run_list.GROUP, ""):
        show_group(group_id, chosen)


def nothing_fits(wanted: Wanted) -> None:
    """No run fits what was asked for: the way back."""
    if not wanted.filtered:
        st.rerun()  # the last run was deleted meanwhile
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("No run fits these filters.", width="content")
        st.button(
            "Show all runs", on_click=run_list.clear_filters, icon=":material/filter_alt_off:"
        )


def say_unknown(unknown: Sequence[str], chosen: Sequence["RunRow"]) -> None:
    """A link that ticks runs which are not here any more: what is left, and the way on."""
    which = "The run" if len(unknown) == 1 else f"{len(unknown)} runs"
    rest = f" The other {len(chosen)} are shown." if chosen else ""
    show_notice(f"{which} that this link ticks cannot be found; it may have been deleted.{rest}")
    st.button(
        "Forget what is missing" if chosen else "Show all runs",
        on_click=run_list.tick_only,
        args=(chosen,),
    )


# --- the table --------------------------------------------------------------------------------


def show_list(found: "Overview", wanted: Wanted, chosen: Sequence["RunRow"]) -> None:
    """The rows of this page; a group that is open has its runs below it."""
    opened = st.query_params.get(run_list.GROUP, "")
    lines = table_lines(found.items, chosen, opened, wanted)
    show_table(
        lines,
        key="runs_table",
        label="Runs",
        order=wanted.order,
        falling=wanted.falling,
        hidden=same_everywhere(lines),
        actions=Actions(run_list.change_ticks, run_list.sort_by, run_list.open_group, follow),
    )


def same_everywhere(lines: Sequence[Line]) -> list[str]:
    """Columns that would say one and the same thing in every line that says anything."""
    people = {line.person for line in lines} - {""}
    datasets = {line.dataset for line in lines}
    return ["person"] * (len(people) < 2) + ["dataset"] * (len(datasets) < 2)


def follow(run_id: str) -> None:
    """A callback: leave for the run, at the next drawing; a callback cannot."""
    st.session_state[FOLLOW] = run_id


# --- what is ticked, what is open -------------------------------------------------------------


def show_chosen(chosen: Sequence["RunRow"]) -> None:
    """One run with what can be done with it, or several beside each other."""
    if not chosen:
        st.caption("Tick one run to open, rename or delete it; two or more to compare them.")
    elif len(chosen) == 1:
        show_one(chosen[0])
    else:
        show_several(chosen)


def show_one(row: "RunRow") -> None:
    """Where one run can be looked at, and what can be done with it."""
    st.subheader(plain(row.name), anchor=False)
    tags = f" · {', '.join(row.tags)}" if row.tags else ""
    st.caption(
        plain(f"{STATE_WORDS[row.state]} · {row.dataset_name} · {settings_in_words(row)}{tags}")
    )
    for words in filter(None, (run_actions.origin_in_words(row), row.message, row.notes)):
        st.caption(plain(words))
    with st.container(horizontal=True, vertical_alignment="center"):
        links.link("train", "Watch its training", run=row.id)
        if state.is_trained(row) and row.result:
            links.link("evaluate", "Evaluate", run=row.id)
            links.link("impression", "Explain an impression", run=row.id)
        if not row.ended:
            stop_button(row, key="runs_stop")
        resume_button(row, key="runs_resume")
        run_actions.train_again(row)
    with st.container(horizontal=True, vertical_alignment="center"):
        run_actions.rename(row)
        run_actions.note(row)
        run_actions.tag([row])
        if row.ended:
            run_actions.export(row)
            if state.is_trained(row) and row.result:
                run_report_button(row)
            run_actions.delete([row])
        copy_link(key="runs_link")


def show_several(rows: Sequence["RunRow"]) -> None:
    """What differs between them, and their curves over each other."""
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        st.subheader(f"{len(rows)} runs beside each other", anchor=False, width="content")
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            run_actions.tag(rows)
            run_actions.delete(rows)
            st.button(
                "Untick all", icon=":material/close:", on_click=run_list.tick_only, args=([],)
            )
            copy_link(key="runs_link")
    compare_runs(rows, key="several")


def show_group(group_id: str, chosen: Sequence["RunRow"]) -> None:
    """A group that is open: a sweep by its own view, models by their curves."""
    try:
        group = state.store().group(group_id)
    except StoreError:
        show_notice("There is no such group of runs here; its runs may have been deleted.")
        st.button("Close it", on_click=run_list.open_group, args=(group_id, False))
        return
    if group.kind == KIND:
        watch_sweep(group_id, beside_form=False)
        return
    rows = run_list.members(group_id)
    if len(rows) > 1 and len(chosen) < 2:
        st.subheader(plain(group.name), anchor=False)
        compare_runs(rows, key="group")


page()

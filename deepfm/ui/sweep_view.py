"""A sweep in the store to one item on the page: how far it is, what it says, its charts."""

import time
from typing import TYPE_CHECKING, Final

import plotly.graph_objects as go
import streamlit as st

from deepfm.charts.palette import NO_VALUE, format_count, format_duration
from deepfm.charts.sweeps import (
    EFFECT_CAPTION,
    PARALLEL_CAPTION,
    effect_figure,
    parallel_figure,
    parameters_of,
    sweep_table,
)
from deepfm.errors import DeepFMError
from deepfm.sweeps import (
    KIND,
    STUDIES,
    Configuration,
    Record,
    Results,
    Spread,
    axis_label,
    complete,
    final_figures,
    missing,
    read_results,
    stop,
)
from deepfm.ui import links, state
from deepfm.ui.forms import SettingsForm
from deepfm.ui.plot import plot, revision_of
from deepfm.ui.text import mistakes_in_words, plain, show_error, show_notice, told

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset
    from deepfm.runs.store import GroupRow, RunRow

_BEGUN: Final = "sweep_begun"
_REFUSED: Final = "sweep_refused"
LIVE: Final = 1.0
"""Seconds between two looks while it goes on."""


_TO_TOP: Final = st.components.v2.component(
    "deepfm_to_top",
    html='<span aria-hidden="true"></span>',
    js="""
export default function ({ data, parentElement }) {
  const place = parentElement.host ?? parentElement;
  if (data.begun && place.dataset.begun !== data.begun) {
    document.querySelector('.st-key-sweep_head')?.scrollIntoView({ block: 'center' });
  }
  place.dataset.begun = data.begun;
}
""",
)
"""The form that begins a sweep is far down the page, and what came of it begins at the top."""


def show_begun(group_id: str) -> None:
    """Put a sweep that was just begun into the address, its head into sight; draw the page anew."""
    st.session_state[_BEGUN] = group_id
    st.query_params.pop("run", None)
    st.query_params["group"] = group_id
    st.rerun(scope="app")


def watch_sweep(group_id: str, *, beside_form: bool = True) -> None:
    """Show a sweep, drawn again by itself while it goes on.

    beside_form   whether the form that trains its best again stands on the same page
    """
    interval = None if _results(group_id).ended else LIVE
    st.fragment(_sweep, run_every=interval)(group_id, interval, beside_form)
    _TO_TOP(key="sweep_top", data={"begun": st.session_state.pop(_BEGUN, "")})


@mistakes_in_words()
def _sweep(group_id: str, interval: float | None, beside_form: bool) -> None:
    results = _results(group_id)
    if results.ended != (interval is None):
        st.rerun()
    _head(results, group_id)
    with st.container():
        _what_it_says(results)
    with st.container():
        _best(results, beside_form)
    if results.ranked:
        _effect(results)
        _parallel(results)
    _table(results)


def _results(group_id: str) -> Results:
    """A sweep as it stands; worked out once for all who watch, and anew when a run moves on."""
    store = state.store()
    spec, rows = store.group(group_id).spec, store.runs_of_sweep(group_id)
    moved = revision_of(
        spec.get("open"), spec.get("message"), *((row.id, row.state, row.wanted) for row in rows)
    )
    return _kept_results(str(state.home()), group_id, moved)


def results_of_sweep(group_id: str) -> Results | None:
    """A sweep as it stands, as its own page tells it; None where its record is damaged."""
    try:
        return _results(group_id)
    except DeepFMError:
        return None  # Damaged: it says so when it is opened.


@st.cache_resource(show_spinner=False, max_entries=64)
def _kept_results(home: str, group_id: str, moved: str) -> Results:
    return read_results(state.store(), group_id)


def earlier_sweeps(dataset: "Dataset") -> None:
    """Links to the newest sweeps on this dataset."""
    groups = [
        group
        for group in state.store().groups(kind=KIND, limit=50)
        if _dataset_of(group) == dataset.fingerprint
    ]
    if groups:
        st.markdown("**Earlier sweeps on this dataset**")
        for group in groups[:3]:
            links.link("train", group.name, group=group.id, icon=":material/tune:")


def _dataset_of(group: "GroupRow") -> str:
    try:
        return Record.from_dict(group.spec).sweep.source.fingerprint
    except DeepFMError:
        return ""  # Damaged: it says so when it is opened.


# --- head -----------------------------------------------------------------------------------


def _head(results: Results, group_id: str) -> None:
    sweep = results.sweep
    with st.container(
        key="sweep_head",
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
    ):
        with st.container(width="content", gap=None):
            st.markdown(f"**{plain(state.store().group(group_id).name)}**")
            st.caption(plain(_progress_in_words(results)))
        if results.ended and (count := missing(results)):
            st.button(
                f"Train the {count} missing runs" if count > 1 else "Train the missing run",
                key="sweep_complete",
                icon=":material/resume:",
                on_click=_complete,
                args=(group_id,),
                help="Those that failed or were stopped: from where they were, where that is kept.",
            )
        if not results.ended:
            st.button(
                "Stop all",
                key="sweep_stop",
                icon=":material/stop_circle:",
                on_click=told(stop),
                args=(state.store(), group_id),
            )
    with st.container():
        if not results.ended:
            st.progress(results.done / max(1, results.planned))
    if sweep.study:
        st.caption(plain(f"{STUDIES[sweep.study].question} {STUDIES[sweep.study].found}"))


def _complete(group_id: str) -> None:
    """A callback; what goes wrong is shown in the next drawing."""
    try:
        complete(state.store(), group_id)
    except DeepFMError as error:
        st.session_state[_REFUSED] = str(error)


def _progress_in_words(results: Results) -> str:
    """ "7 of 18 runs · about 40 s left", or what became of them."""
    if not results.ended:
        left = _seconds_left(results)
        words = f"{results.done} of {results.planned} runs have ended{from_before(results)}"
        return words + (f" · about {format_duration(left)} left" if left else "")
    bad = [row for row in results.runs if row.state != "finished"]
    words = f"{len(results.runs)} runs: {len(results.configurations)} configurations"
    words += f" × {len(results.sweep.seeds)} seeds" if len(results.sweep.seeds) > 1 else ""
    words += from_before(results)
    if bad:
        words += f"; {len(bad)} {'was' if len(bad) == 1 else 'were'} not trained to the end"
    return words


def from_before(results: Results) -> str:
    """ ", 1 from before": runs that were there already, so that they stand elsewhere on Runs."""
    return f", {results.joined} from before" if results.joined else ""


def _seconds_left(results: Results) -> float | None:
    """At the pace so far of the runs that were trained for this sweep."""
    own = [row for row in results.runs if row.id not in results.record.joined]
    started = [row.started for row in own if row.started]
    done = sum(row.ended for row in own)
    if not started or not done:
        return None
    pace = (time.time() - min(started)) / done
    return pace * (results.planned - results.done)


# --- what it says ---------------------------------------------------------------------------


def _what_it_says(results: Results) -> None:
    if refused := st.session_state.pop(_REFUSED, ""):
        show_error(refused)
    if results.record.message:
        show_notice(results.record.message)
    for row in results.runs:
        if row.state == "failed":
            show_notice(f"{row.name} failed. {row.message}")
            break
    if results.ranked:
        verdict = results.verdict
        icon = ":material/emoji_events:" if verdict.winner else ":material/balance:"
        with st.container(border=True):
            st.markdown(f"{icon} {plain(verdict.words)}")
    elif not results.ended:
        st.caption("Results come as runs end; a configuration counts once a seed is trained.")


def _best(results: Results, beside_form: bool) -> None:
    """The best configuration, with the figures of the test rows, which chose nothing."""
    best = results.best
    if best is None:
        return
    run = best.best_run(results.sweep.objective)
    assert run is not None
    with st.container(
        key="sweep_best",
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
    ):
        far = "" if results.ended else f" so far{best.seeds_so_far}"
        st.markdown(f"**{_capital(leads_in_words(results))}{far}:** {plain(best.name)}")
        with st.container(horizontal=True, width="content"):
            links.button("train", "Open", key="sweep_open_best", run=run.row.id, kind="primary")
            _more_button(run.row, beside_form)
    st.html(_tiles(results, best, run.row))


def leads_in_words(results: Results) -> str:
    """ "best" of a winner; of what merely stands on top by which figure: "highest mean AUC"."""
    if results.verdict.winner:
        return "best"
    order = "highest" if results.sweep.objective == "auc" else "lowest"
    mean = "mean " if len(results.sweep.seeds) > 1 else ""
    return f"{order} {mean}{results.sweep.metric}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _tiles(results: Results, best: Configuration, row: "RunRow") -> str:
    """Validation and test figures with their spread; only numbers and words of our own."""
    part = str((row.result or {}).get("part", ""))
    figures = final_figures(best)
    tiles = [
        ("Validation AUC", best.auc, "used to choose"),
        ("Validation log loss", best.log_loss, ""),
    ]
    if results.sweep.objective == "log_loss":
        tiles = [
            ("Validation log loss", best.log_loss, "used to choose"),
            ("Validation AUC", best.auc, ""),
        ]
    if part == "test":
        tiles += [
            ("Test AUC", figures["auc"], "not used to choose"),
            ("Test log loss", figures["log_loss"], "not used to choose"),
        ]
    cells = [
        (name, NO_VALUE if spread is None else f"{spread.mean:.4f}", _spread_words(spread, note))
        for name, spread, note in tiles
    ]
    cells.append(("Parameters", format_count(parameters_of(results.record, best)), ""))
    html = "".join(
        f'<div class="dfm-tile" role="listitem"><span>{name}</span><b>{value}</b>'
        f"<small>{small}</small></div>"
        for name, value, small in cells
    )
    return f'<div class="dfm-tiles" role="list">{html}</div>'


def _spread_words(spread: Spread | None, note: str) -> str:
    deviation = spread.deviation if spread else None
    return " · ".join(filter(None, (f"± {deviation:.4f}" if deviation is not None else "", note)))


def _more_button(row: "RunRow", beside_form: bool) -> None:
    """Train the best one for longer, by the form of this page or by that of the Train page."""
    label, key, icon = "Train this with more epochs", "sweep_more", ":material/edit:"
    if not beside_form:
        links.button("train", label, key=key, icon=icon, before=lambda: _more_elsewhere(row))
    else:
        asked = st.button(
            label,
            key=key,
            help="Puts these settings into the form, with twice the epochs.",
            icon=icon,
        )
        if asked:
            _more_epochs(row)
            # The form is no part of what is drawn again here by itself.
            st.rerun(scope="app")


def _more_elsewhere(row: "RunRow") -> dict[str, str]:
    _fill_with_more(row)
    return {"dataset": state.DEMO if row.dataset_name == state.DEMO else row.fingerprint}


def _more_epochs(row: "RunRow") -> None:
    """The form takes a run's settings with twice the epochs."""
    _fill_with_more(row)
    for name in ("run", "group"):
        st.query_params.pop(name, None)
    state.show_dataset(state.DEMO if row.dataset_name == state.DEMO else row.fingerprint)


def _fill_with_more(row: "RunRow") -> None:
    from deepfm.ui.train_form import all_settings, fill_from

    fill_from(row)
    epochs = all_settings()["epochs"]
    SettingsForm("train").put(epochs, min(int(epochs.high or 1), 2 * int(row.train["epochs"])))


# --- charts and table -----------------------------------------------------------------------


def _effect(results: Results) -> None:
    axes = results.sweep.axes
    place = 0
    if len(axes) > 1:
        chosen = st.segmented_control(
            "Setting",
            list(range(len(axes))),
            format_func=lambda each: axis_label(axes[each]),
            default=0,
            required=True,
            key="sweep_axis",
            label_visibility="collapsed",
        )
        place = int(chosen or 0)
    plot(
        _effect_figure(_revision(results), place, results),
        key="sweep_effect",
        height=300,
        caption=EFFECT_CAPTION,
        alt=results.verdict.words,
        table=lambda: sweep_table(results),
    )


def _parallel(results: Results) -> None:
    plot(
        _parallel_figure(_revision(results), results),
        key="sweep_parallel",
        height=280,
        caption=PARALLEL_CAPTION,
        alt=results.verdict.words,
        table=lambda: sweep_table(results),
    )


def _revision(results: Results) -> str:
    """Changes when any run has more to say."""
    return revision_of(*((row.id, row.state) for row in results.runs), results.record.open)


@st.cache_resource(show_spinner=False, max_entries=64)
def _effect_figure(revision: str, place: int, _results: Results) -> go.Figure:
    """One figure for all who watch; not to be changed."""
    return effect_figure(_results, place)


@st.cache_resource(show_spinner=False, max_entries=64)
def _parallel_figure(revision: str, _results: Results) -> go.Figure:
    """One figure for all who watch; not to be changed."""
    return parallel_figure(_results)


def _table(results: Results) -> None:
    """All configurations; a ticked one can be opened."""
    if not results.configurations:
        return
    config = st.column_config
    chosen = st.dataframe(
        sweep_table(results),
        key=f"sweep_table_{_revision(results)}",
        hide_index=True,
        placeholder=NO_VALUE,
        on_select="rerun",
        selection_mode="single-row",
        height=min(38 + 35 * len(results.configurations), 388),
        column_config={
            "rank": config.NumberColumn("#", width=40),
            **{
                name: config.NumberColumn(format="%.4f", help=_COLUMN_HELP[name])
                for name in _COLUMN_HELP
            },
            "parameters": config.NumberColumn(format="localized"),
            "seconds a run": config.NumberColumn(
                format="%.1f", help="Of training, the mean over its runs."
            ),
            "seeds": config.TextColumn(help="Trained, of those queued."),
        },
    )
    rows = chosen.selection.rows
    if not rows or rows[0] >= len(results.configurations):
        st.caption("Tick a configuration to open its runs.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Open its runs:", width="content")
        for run in results.configurations[rows[0]].runs:
            links.link("train", f"seed {run.seed}", run=run.row.id)


_COLUMN_HELP: Final = {
    "val. AUC": "Mean over the seeds, each at the epoch whose weights are kept.",
    "± AUC": "One standard deviation over the seeds.",
    "val. log loss": "Mean over the seeds, each at the epoch whose weights are kept.",
    "± log loss": "One standard deviation over the seeds.",
}

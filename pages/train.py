"""What happens when I change a setting? A form to queued runs, and a run to live curves."""

from typing import TYPE_CHECKING, Final

import streamlit as st

from deepfm.charts.palette import TERM_WORDS, format_auc, format_count, format_probability
from deepfm.data.dataset import Dataset
from deepfm.errors import DeepFMError
from deepfm.sweeps import KIND
from deepfm.ui import links, state
from deepfm.ui.compared import watch_group
from deepfm.ui.joined import show_joined
from deepfm.ui.learning import prepare_curves
from deepfm.ui.queueing import pinned_of
from deepfm.ui.recipe import show_recipe
from deepfm.ui.run_list import DATASET
from deepfm.ui.run_words import when_in_words
from deepfm.ui.sweep_view import earlier_sweeps, watch_sweep
from deepfm.ui.text import plain, show_error
from deepfm.ui.train_form import train_form
from deepfm.ui.wakes import together
from deepfm.ui.watching import STATE_WORDS, watch_run

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

EARLIER: Final = 3
"""Earlier runs that are named here; all stand on Runs."""

CSS = """
<style>
.dfm-cost span { font-size: 0.8rem; opacity: 0.7; }
.dfm-cost { display: flex; flex-wrap: wrap; gap: 0.3rem 1.25rem; line-height: 1.35; }
.dfm-cost b { font-weight: 600; font-variant-numeric: tabular-nums; }
.dfm-cost small { opacity: 0.7; }
/* What was changed in a preset stands over its own words, so that nothing below moves. */
.st-key-preset_words { display: grid; }
.st-key-preset_words > * { grid-area: 1 / 1; }
.st-key-preset_words:has(> :nth-child(2)) > :first-child * { visibility: hidden; }
/* Every field shows that it has help, but Tab goes from field to field: what is hidden takes no
   focus, its sign is seen all the same, and the field that is used or pointed at has it whole. */
.st-key-stack_train .stElementContainer:not(:hover, :focus-within) label .stTooltipIcon {
  visibility: hidden; }
.st-key-stack_train label .stTooltipIcon svg { visibility: visible; }
/* A preset brings fields of its own; those they replace stay below them until all is drawn. */
.st-key-stack_train [class*="st-key-two"] .stElementContainer
  ~ .stElementContainer[data-stale="true"]:has(> :is(.stTextInput, .stSelectbox)),
.st-key-stack_train [class*="st-key-one"] .stElementContainer
  ~ .stElementContainer[data-stale="true"] { display: none; }
@media (min-width: 640px) and (max-width: 960px) {
  .st-key-stack_train [class*="st-key-two"] .stHorizontalBlock > .stColumn {
    flex: 1 1 0; min-width: calc(50% - 1rem); }
}
</style>
"""


def page() -> None:
    """The form on the left third; what was queued, or what to expect, beside it."""
    st.html(CSS)
    st.title("What happens when I change a setting?", anchor=False)
    dataset_id = state.dataset_in_address()
    try:
        dataset = state.dataset(dataset_id)
    except DeepFMError as error:
        show_error(error)
        links.link("data", "Choose a dataset")
        # A run outlives its dataset: its curves can still be looked at.
        if "run" in st.query_params or "group" in st.query_params:
            watch(None)
        return
    with st.container(key="stack_train"):
        left, right = st.columns([1, 2.15], gap="large")
        with left, together():
            st.caption(plain(data_in_words(dataset)))
            train_form(dataset, dataset_id)
        with right:
            watch(dataset)


def data_in_words(dataset: Dataset) -> str:
    """ "demo: 48,000 training rows, 22.5 % clicked, 10 fields, 214 features"."""
    train, fields = dataset.summary().parts["train"], len(dataset.fields)
    return (
        f"{dataset.name}: {format_count(train.rows)} training rows, "
        f"{format_probability(train.base_rate)} clicked, "
        f"{fields} field{'s' * (fields != 1)}, "
        f"{format_count(dataset.vocabulary.num_features)} features"
    )


def watch(dataset: Dataset | None) -> None:
    """The run or group that the address names; else what is going to be seen here."""
    try:
        show_joined()
        if group_id := st.query_params.get("group"):
            sweep = state.store().group(group_id).kind == KIND
            (watch_sweep if sweep else watch_group)(group_id)
        elif (run_id := st.query_params.get("run", "")) and run_id != state.DEMO:
            watch_run(run_id)
            show_recipe(run_id)
        elif dataset is not None:
            before_training(dataset)
            prepare_curves(dataset)
    except DeepFMError as error:
        show_error(error)
        links.link("runs", "All runs")


def before_training(dataset: Dataset) -> None:
    """What will be watched here, and what was trained before."""
    st.markdown("**Press Train: loss and AUC are drawn here while the model learns**")
    st.caption("  \n".join(plain(words) for words in list(TERM_WORDS.values())[:3]))
    if pinned := pinned_of(dataset):
        st.caption(f"{len(pinned)} impressions are watched as it learns, term by term.")
    sweeps = {group.id for group in state.store().groups(kind=KIND, limit=50)}
    runs = state.store().runs(fingerprint=dataset.fingerprint, limit=100)
    earlier = [row for row in runs if row.group not in sweeps]
    if earlier:
        st.markdown("**Earlier runs on this dataset**")
        for row in earlier[:EARLIER]:
            links.link("train", earlier_in_words(row), run=row.id)
        if len(earlier) > EARLIER:
            links.link("runs", "All runs on this dataset", **{DATASET: dataset.fingerprint})
    earlier_sweeps(dataset)


def earlier_in_words(row: "RunRow") -> str:
    """ "DeepFM · test AUC 0.7903 · 14:05", and its state where it has not finished."""
    auc = "" if row.auc is None else f"{state.auc_name(row)} {format_auc(row.auc)}"
    standing = "" if row.state == "finished" and auc else STATE_WORDS[row.state]
    return " · ".join(filter(None, (row.name, standing, auc, when_in_words(row.created))))


page()

"""How good is it, and where is it wrong?"""

import streamlit as st

from deepfm.errors import DeepFMError
from deepfm.trained import TrainedModel
from deepfm.ui import evaluation_views as views
from deepfm.ui import links, state
from deepfm.ui.evaluated import evaluated, group_curves
from deepfm.ui.plot import revision_of
from deepfm.ui.text import show_error, show_notice


def choose_part(model: TrainedModel) -> str:
    """The part whose rows are looked at; ?part= keeps it in the address."""
    parts = [part for part in model.parts if part != "train"]
    if len(parts) < 2:
        return model.part
    return st.segmented_control(
        "Rows",
        parts,
        default=model.part,
        format_func=lambda part: f"{part.capitalize()} rows",
        key="part",
        bind="query-params",
        required=True,
        label_visibility="collapsed",
    )


def leave_without_rows(model: TrainedModel) -> None:
    """A run of which only training rows are left: why there is nothing to see, and the way on."""
    show_notice(
        "This run kept no rows that it was not trained on, so nothing here could say how good it "
        "is. Prepare the data with validation rows or a test file, then train again."
    )
    links.link("data", "Prepare the data", dataset=model.dataset_fingerprint)
    st.stop()


def show(run_id: str, model: TrainedModel) -> None:
    """Numbers, then curves, then the further views; RunError for damaged scores."""
    if model.part == "train":
        leave_without_rows(model)
    part = choose_part(model)
    found = evaluated(run_id, model, part)
    revision = revision_of(run_id, part)
    views.say_which_rows(model, found)
    views.tiles(found)
    views.show_curves(found, revision)
    views.show_tabs(model, found, revision, group_curves(run_id))
    links.link("impression", "Explain an impression", run=run_id)


st.title("How good is it, and where is it wrong?", anchor=False)
run_id, model = state.chosen_run()
try:
    show(run_id, model)
except DeepFMError as error:
    show_error(error)
    st.button("Show the bundled demo run", on_click=state.show_run, args=(state.DEMO,))

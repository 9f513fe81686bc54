"""How good is it, and where is it wrong?"""

import streamlit as st

from deepfm.errors import DeepFMError
from deepfm.trained import TrainedModel
from deepfm.ui import evaluation_views as views
from deepfm.ui import links, selecting, state
from deepfm.ui.evaluated import evaluated
from deepfm.ui.report_button import evaluation_report_button
from deepfm.ui.text import show_error, show_notice
from deepfm.ui.threshold import threshold_asked_for


def leave_without_rows(model: TrainedModel) -> None:
    """A run of which only training rows are left: why there is nothing to see, and the way on."""
    show_notice(
        "This run kept no rows that it was not trained on, so nothing here could say how good it "
        "is. Prepare the data with validation rows or a test file, then train again."
    )
    links.link("data", "Prepare the data", dataset=model.dataset_fingerprint)
    st.stop()


def show(run_id: str, model: TrainedModel) -> None:
    """Which rows, then numbers, then curves, then further views; RunError for damaged scores."""
    if model.part == "train":
        leave_without_rows(model)
    selection = selecting.selection_in_address(model)
    with st.container(horizontal=True, vertical_alignment="center", key="which_rows"):
        part = selecting.choose_part(model)
        selecting.choose_selection(run_id, model, part, selection)
    found = evaluated(run_id, model, part, selection)
    found, revision = threshold_asked_for(found, run_id, model)
    views.say_which_rows(model, found)
    views.say_verdict(found)
    views.tiles(found)
    views.show_curves(run_id, found, revision)
    views.show_tabs(run_id, model, found, revision)
    with st.container(horizontal=True, vertical_alignment="center"):
        links.link("impression", "Explain an impression", run=run_id)
        evaluation_report_button(run_id, model, part, selection)


st.title("How good is it, and where is it wrong?", anchor=False)
run_id, model = state.chosen_run()
try:
    show(run_id, model)
except DeepFMError as error:
    show_error(error)
    st.button("Show the bundled demo run", on_click=state.show_run, args=(state.DEMO,))

"""What is in my click log, and how will the model see it?"""

import streamlit as st

from deepfm.data.dataset import Dataset
from deepfm.errors import DeepFMError
from deepfm.ui import state
from deepfm.ui.data_list import show_datasets
from deepfm.ui.data_profile import show_profile
from deepfm.ui.data_source import INSPECT, follow_context, keep_open, show_source
from deepfm.ui.data_understood import show_understood
from deepfm.ui.text import show_error


def open_dataset() -> Dataset | None:
    """The dataset that the address names; else one sentence above everything else."""
    try:
        return state.dataset(state.dataset_in_address())
    except DeepFMError as error:
        show_error(error)
        return None


st.title("What is in my click log, and how will the model see it?", anchor=False)
settings = state.settings()
follow_context(state.dataset_in_address())
keep_open()
job_id = st.query_params.get(INSPECT)
if job_id:
    show_source(settings)
    show_understood(job_id, settings)
else:
    dataset = open_dataset()
    show_source(settings)
    if dataset is not None:
        show_profile(dataset)
    show_datasets()

"""What is in my click log, and how will the model see it?"""

import streamlit as st

from deepfm.errors import DeepFMError
from deepfm.ui import state
from deepfm.ui.data_list import show_datasets
from deepfm.ui.data_profile import show_profile
from deepfm.ui.data_source import INSPECT, follow_context, show_source
from deepfm.ui.data_understood import show_understood
from deepfm.ui.text import show_error

st.title("What is in my click log, and how will the model see it?", anchor=False)
settings = state.settings()
follow_context(state.dataset_in_address())
show_source(settings)
job_id = st.query_params.get(INSPECT)
if job_id:
    show_understood(job_id, settings)
else:
    try:
        show_profile(state.dataset(state.dataset_in_address()))
    except DeepFMError as error:
        show_error(error)
    show_datasets()

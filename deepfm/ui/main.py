"""The frame round every page: navigation, what is being looked at, and what is running."""

import streamlit as st

from deepfm.ui import frame, links
from deepfm.ui.text import mistakes_in_words

# First the icon, so that the browser asks nobody else for one; then the title with the page.
st.set_page_config(page_title="DeepFM Lab", page_icon=frame.ICON, layout="wide")
page = st.navigation(links.navigation_pages(), position="top")
st.set_page_config(page_title=f"{page.title} · DeepFM Lab")
frame.show(links.page_of(page.url_path))
with mistakes_in_words():
    page.run()

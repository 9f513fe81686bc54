"""What the pages share; the only part of deepfm that imports streamlit."""

"""Result dataclasses to plotly figures; no Streamlit, no state."""

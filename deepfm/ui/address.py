"""A choice in the address to a widget, and back: by id, whatever the widget calls it on screen.

Streamlit's own `bind=` writes what stands on screen; a link should outlive another wording.
"""

from collections.abc import Callable, Collection

import streamlit as st


def chosen_in_address(name: str, options: Collection[str], default: str) -> Callable[[], None]:
    """Start the widget keyed `name` with what the address names; its on_change puts it back.

    What the address does not name, or names wrongly, is the default, which is never written.
    """
    named = st.query_params.get(name, default)
    st.session_state[name] = named if named in options else default

    def changed() -> None:
        chosen = st.session_state.get(name)
        if chosen is None or chosen == default:
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = chosen

    return changed


def several_in_address(name: str, options: Collection[str]) -> Callable[[], None]:
    """The same for a widget of which several are chosen, by default none."""
    named = st.query_params.get_all(name)
    st.session_state[name] = [each for each in named if each in options]

    def changed() -> None:
        if chosen := st.session_state.get(name):
            st.query_params[name] = list(chosen)
        else:
            st.query_params.pop(name, None)

    return changed

"""The menu of pages on a narrow page: it makes way for the page that was chosen from it."""

from typing import Final

import streamlit as st

_MAKES_WAY: Final = st.components.v2.component(
    "deepfm_menu",
    html='<span aria-hidden="true"></span>',
    js="""
export default function () {
  if (window.deepfmMenu) return;
  window.deepfmMenu = true;
  document.addEventListener('click', ({ target }) => {
    // As wide as the page that Streamlit lays the menu over.
    if (innerWidth >= 768 || !target.closest?.('[data-testid=stSidebarNavLink]')) return;
    // After Streamlit's own answer, which closes it where the browser says that it is a phone's.
    const button = '[data-testid=stSidebarCollapseButton] button';
    setTimeout(() => document.querySelector(button)?.click());
  });
}
""",
)


def menu_makes_way() -> None:
    """Close the menu at a click in it, also in a narrow window of a computer."""
    _MAKES_WAY(key="menu_makes_way")

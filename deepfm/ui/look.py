"""How a reader wants to look at curves: logarithmic axes and smoothing, set in the browser.

The controls change the charts of their group at once and without asking the server; what was
chosen is then told to Python, which keeps it in the session and in the address
(?smooth=0.5&log=loss,epochs), so that a link shows the same curves.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

import streamlit as st

from deepfm.charts.smoothing import SMOOTHINGS

SMOOTH: Final = "smooth"
LOG: Final = "log"
_LAST: Final = "last_look"

_HTML: Final = """
<div class="dfm-look" role="group" aria-label="How to look at the curves">
  <span>Log</span>
  <label><input type="checkbox" data-name="logLoss" aria-label="Log loss">loss</label>
  <label><input type="checkbox" data-name="logEpochs" aria-label="Log epochs">epochs</label>
  <label>Smoothing
    <input type="range" min="0" step="1" aria-label="Smoothing">
    <output></output>
  </label>
</div>
"""
_CSS: Final = """
.dfm-look { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 0.75rem;
  min-height: 2.5rem; font: 400 0.875rem/1.3 var(--st-font); color: var(--st-text-color); }
.dfm-look label { display: inline-flex; align-items: center; gap: 0.4rem; cursor: pointer; }
.dfm-look input { accent-color: var(--st-primary-color); margin: 0; cursor: pointer; }
.dfm-look input[type=range] { width: 5rem; }
.dfm-look input:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 3px;
  border-radius: 4px; }
.dfm-look output { min-width: 4.4rem; font-variant-numeric: tabular-nums; opacity: 0.75; }
"""
_JS: Final = """
const VIEWS = (window.deepfmViews ??= {});

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector('.dfm-look');
  const range = root.querySelector('input[type=range]');
  const checks = [...root.querySelectorAll('input[type=checkbox]')];
  const told = root.querySelector('output');
  const { group, start, smoothings } = data;
  // What is on screen wins over what the server knew when it last drew.
  const view = (VIEWS[group] ??= { ...start });
  const show = () => {
    const epochs = view.smoothing === 1 ? 'epoch' : 'epochs';
    const words = view.smoothing ? `${view.smoothing} ${epochs}` : 'off';
    range.max = String(smoothings.length - 1);
    range.value = String(Math.max(0, smoothings.indexOf(view.smoothing)));
    range.setAttribute('aria-valuetext', words);
    told.textContent = words;
    for (const check of checks) check.checked = Boolean(view[check.dataset.name]);
  };
  const look = () => {
    show();
    window.dispatchEvent(new CustomEvent('deepfm-view', { detail: { group } }));
  };
  const tell = () => setStateValue('look', { ...view });
  range.oninput = () => { view.smoothing = smoothings[Number(range.value)]; look(); };
  range.onchange = tell;
  for (const check of checks) {
    check.onchange = () => { view[check.dataset.name] = check.checked; look(); tell(); };
  }
  look();
}
"""


@dataclass(frozen=True)
class Look:
    """How the curves of a page are looked at.

    smoothing    epochs; one of `SMOOTHINGS`, 0 for the curves as they were measured
    log_loss, log_epochs   whether the axis is logarithmic
    """

    smoothing: float = 0.0
    log_loss: bool = False
    log_epochs: bool = False


_CONTROLS: Final = st.components.v2.component(
    "deepfm_look", html=_HTML, css=_CSS, js=_JS, isolate_styles=False
)


def look_controls(group: str, *, key: str) -> Look:
    """Controls for all charts whose `view` is this group; what they are set to."""
    kept = st.session_state.get(_LAST)
    look = kept if isinstance(kept, Look) else look_in_address()
    _to_address(look)
    _CONTROLS(
        key=key,
        data={"group": group, "start": _as_view(look), "smoothings": list(SMOOTHINGS)},
        on_look_change=partial(_chosen, key),
        width="content",
    )
    return look


def look_in_address() -> Look:
    """What ?smooth= and ?log= say; what they get wrong is left at its default."""
    axes = st.query_params.get(LOG, "").split(",")
    return Look(_smoothing(st.query_params.get(SMOOTH, "")), "loss" in axes, "epochs" in axes)


def _to_address(look: Look) -> None:
    """A default is never written: each write is one more step for the browser's Back."""
    axes = ("loss",) * look.log_loss + ("epochs",) * look.log_epochs
    wanted = {SMOOTH: f"{look.smoothing:g}" if look.smoothing else "", LOG: ",".join(axes)}
    for name, value in wanted.items():
        if not value:
            st.query_params.pop(name, None)
        elif st.query_params.get(name) != value:
            st.query_params[name] = value


def _chosen(key: str) -> None:
    """The reader's choice, as the browser tells it, into the session."""
    view = (st.session_state.get(key) or {}).get("look") or {}
    st.session_state[_LAST] = Look(
        _smoothing(f"{view.get('smoothing', 0):g}"),
        bool(view.get("logLoss")),
        bool(view.get("logEpochs")),
    )


def _as_view(look: Look) -> dict[str, float | bool]:
    """The same as the browser's scripts name it."""
    return {
        "smoothing": look.smoothing,
        "logLoss": look.log_loss,
        "logEpochs": look.log_epochs,
    }


def _smoothing(text: str) -> float:
    return next((known for known in SMOOTHINGS if f"{known:g}" == text), 0.0)

"""A run, or the impression on the page, to one HTML file, made when it is asked for.

Streamlit makes such a file in a thread of its own while the button turns a wheel: the page stays
alive, and nothing here may draw.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import streamlit as st

from deepfm.errors import DeepFMError
from deepfm.evaluation import Selection, evaluate_rows, judged_rows
from deepfm.explanation import more_draws
from deepfm.report import impression_report, refusal, run_report
from deepfm.trained import TrainedModel, open_run
from deepfm.ui import state
from deepfm.ui.evaluated import dataset_of
from deepfm.ui.impression_shown import Shown, draws_asked
from deepfm.ui.plot_save import plain_stem

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow

LABEL: Final = "Report (HTML)"
LONGEST: Final = 100
"""Signs of a file's name before its ending."""


def run_report_button(row: "RunRow") -> None:
    """What the run is, how good, and how it learned."""
    _button(
        lambda: run_report(open_run(row.folder), name=row.name),
        f"report {row.name}",
        "runs_report",
        quiet=False,
    )


def evaluation_report_button(
    run_id: str, model: TrainedModel, part: str, selection: Selection | None
) -> None:
    """The same, judged by the rows that the Evaluate page shows."""
    name, dataset = state.run_name(run_id), dataset_of(model) if selection else None

    def make() -> str:
        rows = judged_rows(model, part, dataset)
        found = evaluate_rows(rows.where(selection) if selection else rows)
        return run_report(model, found, name=name)

    which = f"{part} {selection or ''}"
    _button(make, f"report {name} {which}", "evaluate_report")


def impression_report_button(shown: Shown) -> None:
    """Why the impression on the page got its score, changed values and all."""
    name, draws = state.run_name(shown.run_id), draws_asked(shown)

    def make() -> str:
        explanation = shown.explanation
        if "deep" in shown.model.model.terms:
            explanation = more_draws(shown.model, explanation, draws, shown.reference)
        return impression_report(shown.model, explanation, name=name, before=shown.before)

    row = shown.original.row
    place = f"row-{row}" if row is not None else "composed"
    changed = "-changed" if shown.before else ""
    _button(make, f"why {name} {place}{changed}", "impression_report")


def _button(make: Callable[[], str], stem: str, key: str, *, quiet: bool = True) -> None:
    st.download_button(
        LABEL,
        data=lambda: _made(make),
        file_name=f"{plain_stem(stem, LONGEST)}.html",
        mime="text/html",
        key=key,
        icon=":material/description:",
        type="tertiary" if quiet else "secondary",
        on_click="ignore",
        help="One page to mail, print or keep: it needs neither this app nor the network.",
    )


def _made(make: Callable[[], str]) -> bytes:
    """The report; where it cannot be made, a page that says why in one sentence."""
    try:
        return make().encode("utf-8")
    except DeepFMError as error:
        return refusal(error).encode("utf-8")

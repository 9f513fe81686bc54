"""Ended runs to their ROC curves on the rows they were judged by, read from their folders alone."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from deepfm.errors import DeepFMError
from deepfm.evaluation import RocCurve, auc, roc
from deepfm.ui import state

if TYPE_CHECKING:
    from deepfm.runs.store import RunRow


@dataclass(frozen=True)
class Judged:
    """How one run ranks the rows it is judged by.

    part     test, validation or train
    rows     how many
    labels   a digest of what happened in them, row by row: equal for the same rows
    curve    None where the rows have one class only
    """

    part: str
    rows: int
    labels: str
    curve: RocCurve | None
    auc: float | None


def judged(rows: Sequence["RunRow"]) -> Mapping[str, Judged]:
    """Run id to how it ranks, for the runs that have ended with scores that can be read."""
    found = {}
    for row in rows:
        if not (state.is_trained(row) and row.result):
            continue
        try:
            found[row.id] = _judged(row.folder, (row.folder / "scores.parquet").stat().st_mtime)
        except (DeepFMError, OSError):
            continue  # a folder damaged by hand: the run's own page says so
    return found


@st.cache_resource(show_spinner="Reading the scores…", max_entries=200)
def _judged(folder: Path, changed: float) -> Judged:
    from deepfm.terms import TERM_NAMES
    from deepfm.trained.run_folder import RunFolder

    files = RunFolder(folder)
    part = files.config().part
    table = files.scores().of(part)
    labels = table["label"].to_numpy()
    logit = sum(table[name].to_numpy() for name in TERM_NAMES)
    if not len(labels):
        return Judged(part, 0, "", None, None)
    digest = hashlib.blake2s((labels > 0.5).tobytes(), digest_size=8).hexdigest()
    return Judged(part, len(labels), digest, roc(labels, logit), auc(labels, logit))

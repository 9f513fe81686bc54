"""Does the network earn its place? One sentence, as far as the rows and the runs can tell."""

from collections.abc import Collection
from typing import Final

from deepfm.charts.branches import BranchRow
from deepfm.charts.evaluation import signed
from deepfm.charts.palette import format_auc, format_count
from deepfm.evaluation import p_in_words
from deepfm.evaluation.comparing import AucDifference

_WITHOUT: Final = {"DeepFM": "fm", "Wide & Deep": "linear"}
"""A model with a network and more, and its branch that is left where the network never was."""


def network_sentence(name: str, rows: list[BranchRow], count: int, missing: Collection[str]) -> str:
    """Whether the network improves the ranking, the answer in **bold**; "" where none can be asked.

    name     LR, FM, DNN, Wide & Deep or DeepFM
    rows     the model's branches on `count` rows, each with its counterpart, the whole last
    missing  models that are not trained yet, and can be
    """
    row = next((row for row in rows if row.branch == _WITHOUT.get(name)), None)
    if row is None or row.silenced.auc is None:
        return ""
    if row.trained is not None and row.trained.behind is not None:
        whole = format_auc(rows[-1].silenced.auc)
        return _compared(name, row.trained_name, row.trained.behind, whole, count)
    if row.silenced.behind is None:
        return ""
    return (
        f"**Whether the network earns its place is not known yet**: silenced, it leaves an AUC of "
        f"{format_auc(row.silenced.auc)} instead of {format_auc(rows[-1].silenced.auc)}, but "
        "that is no model trained without it, since the two share the work."
        + (
            f" Compare all five trains {row.trained_name} to stand beside it."
            if row.trained_name in missing
            else ""
        )
    )


def _compared(name: str, without: str, found: AucDifference, whole: str, count: int) -> str:
    numbers = (
        f"AUC {format_auc(found.second)} against {whole}, {name} {signed(found.difference)} "
        f"(95 % {signed(found.low)} to {signed(found.high)}, p {p_in_words(found.p_value)}, "
        "DeLong's paired test)"
    )
    if found.low > 0:
        return f"**The network earns its place**: {without}, trained without it, has {numbers}."
    if found.high < 0:
        return f"**Without the network it ranks better**: {without}, trained so, has {numbers}."
    return (
        f"**{without}, trained without the network, ranks as well as far as "
        f"{format_count(count)} rows can tell**: {numbers}."
    )

"""Do the network, and what stands beside it, earn their place? As far as rows and runs can tell."""

from collections.abc import Collection
from typing import Final

from deepfm.charts.branches import BranchRow
from deepfm.charts.evaluation import signed
from deepfm.charts.palette import format_auc, format_count
from deepfm.evaluation import p_in_words
from deepfm.evaluation.comparing import AucDifference

_WITHOUT: Final = {"DeepFM": "fm", "Wide & Deep": "linear"}
"""A model with a network and more, and its branch that is left where the network never was."""
_BESIDE: Final = {"DeepFM": "the factorization machine", "Wide & Deep": "the linear term"}
"""A model with a network and more, and what that is in words."""


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
        return _compared(name, "the network", row.trained_name, row.trained.behind, whole, count)
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


def wide_sentence(name: str, rows: list[BranchRow], count: int) -> str:
    """Whether what stands beside the network improves the ranking; "" until DNN is trained too."""
    part = _BESIDE.get(name)
    row = next((row for row in rows if row.branch == "deep"), None)
    if part is None or row is None or row.trained is None or row.trained.behind is None:
        return ""
    whole = format_auc(rows[-1].silenced.auc)
    return _compared(name, part, row.trained_name, row.trained.behind, whole, count)


def _compared(
    name: str, part: str, without: str, found: AucDifference, whole: str, count: int
) -> str:
    """The answer about a part of a model, by the model trained without it."""
    numbers = (
        f"AUC {format_auc(found.second)} against {whole}, {name} {signed(found.difference)} "
        f"(95 % {signed(found.low)} to {signed(found.high)}, p {p_in_words(found.p_value)}, "
        "DeLong's paired test)"
    )
    if found.low > 0:
        part_first = part[0].upper() + part[1:]
        return f"**{part_first} earns its place**: {without}, trained without it, has {numbers}."
    if found.high < 0:
        return f"**Without {part} it ranks better**: {without}, trained so, has {numbers}."
    return (
        f"**{without}, trained without {part}, ranks as well as far as "
        f"{format_count(count)} rows can tell**: {numbers}."
    )

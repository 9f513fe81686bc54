"""Labels, scores and a group of each row to how well each group is ranked within itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepfm.evaluation.counting import Float64s, Int64s, checked


@dataclass(frozen=True)
class GroupRanks:
    """How each group's rows are ranked among themselves; G groups, numbered from 0.

    rows, clicks   int64[G]
    auc            float64[G]; nan for a group of one class
    variance       float64[G], of the AUC by DeLong; nan with fewer than two rows of either class
    """

    rows: Int64s
    clicks: Int64s
    auc: Float64s
    variance: Float64s

    @property
    def has_both_classes(self) -> NDArray[np.bool_]:
        """Which groups can be ranked at all, bool[G]."""
        return (self.clicks > 0) & (self.clicks < self.rows)

    @property
    def wins(self) -> Float64s:
        """Pairs of a clicked and another row that are ranked rightly, a tie half; float64[G]."""
        pairs = self.clicks * (self.rows - self.clicks).astype(np.float64)
        return np.where(pairs > 0, np.nan_to_num(self.auc) * pairs, 0.0)


def rank_within_groups(
    labels: NDArray[Any], scores: NDArray[Any], groups: NDArray[Any], number: int
) -> GroupRanks:
    """Rank all groups at once, by one sort: O(N log N).

    groups   N whole numbers from 0 to number − 1
    """
    clicked, scores = checked(labels, scores)
    order = np.lexsort((scores, groups))
    group, value, click = np.asarray(groups)[order], scores[order], clicked[order]
    rows = np.bincount(group, minlength=number)
    clicks = np.bincount(group[click], minlength=number)
    others = rows - clicks
    new = (group[1:] != group[:-1]) | (value[1:] != value[:-1])
    ties = np.append(0, np.cumsum(new))
    first = np.append(0, np.flatnonzero(new) + 1)
    clicks_before, clicks_here = _before_and_here(click, ties, first)
    others_before, others_here = _before_and_here(~click, ties, first)
    starts = np.cumsum(rows) - rows
    clicks_before -= np.append(0, np.cumsum(click))[starts][group]
    others_before -= np.append(0, np.cumsum(~click))[starts][group]
    # The share of the other class in its group that each row is ranked rightly against.
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(
            click,
            (others_before + others_here / 2) / others[group],
            1 - (clicks_before + clicks_here / 2) / clicks[group],
        )
        auc = np.bincount(group, np.where(click, share, 0.0), number) / clicks
        auc[others == 0] = np.nan
        squares = (share - auc[group]) ** 2
        variance = np.bincount(group, np.where(click, squares, 0.0), number) / (
            clicks * (clicks - 1.0)
        ) + np.bincount(group, np.where(click, 0.0, squares), number) / (others * (others - 1.0))
    variance[(clicks < 2) | (others < 2)] = np.nan
    return GroupRanks(rows, clicks, auc, variance)


def _before_and_here(
    counted: NDArray[np.bool_], ties: Int64s, first: Int64s
) -> tuple[Int64s, Int64s]:
    """For each row, how many counted rows stand before its ties, and how many among them."""
    before = np.append(0, np.cumsum(counted))
    ends = np.append(first[1:], len(counted))
    return before[first][ties], (before[ends] - before[first])[ties]


@dataclass(frozen=True)
class GroupedAuc:
    """Ranking within groups alone: which of one group's impressions are clicked.

    value            mean AUC of the groups, weighted by their impressions; None without any
    groups, rows     that it is of; the others hold one class only and are left out
    number           int64[groups], each counted group's own number
    group_rows, group_auc   of each counted group
    """

    value: float | None
    groups: int
    rows: int
    left_out_groups: int
    left_out_rows: int
    number: Int64s
    group_rows: Int64s
    group_auc: Float64s


def grouped_auc(labels: NDArray[Any], scores: NDArray[Any], groups: NDArray[Any]) -> GroupedAuc:
    """GAUC, as Zhu et al. 2017 and Zhou et al. 2018 (DIN) weight it: by impressions.

    groups   N whole numbers, one for each group
    """
    names, places = np.unique(np.asarray(groups), return_inverse=True)
    ranks = rank_within_groups(labels, scores, places, len(names))
    kept = ranks.has_both_classes
    rows, aucs = ranks.rows[kept], ranks.auc[kept]
    return GroupedAuc(
        value=float(rows @ aucs / rows.sum()) if len(rows) else None,
        groups=len(rows),
        rows=int(rows.sum()),
        left_out_groups=int((~kept).sum()),
        left_out_rows=int(ranks.rows[~kept].sum()),
        number=names[kept],
        group_rows=rows,
        group_auc=aucs,
    )

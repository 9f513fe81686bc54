"""Two values to how often they meet in the training rows, and what came of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from deepfm.explanation.neighbours import checked
from deepfm.explanation.populations import check_dataset
from deepfm.trained import TrainedModel
from deepfm.trained.weights import Ids, slices

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset

MOST_ROWS: Final = 5_000_000
"""Of a longer train part so many rows are looked at, in blocks spread evenly over it."""
_BLOCK_ROWS: Final = 2**17


@dataclass(frozen=True)
class Alone:
    """One value by itself: how it reads, its training rows and how many of them were clicked."""

    value: str
    rows: int
    clicks: int

    @property
    def click_rate(self) -> float | None:
        """Clicks per row; None where there are no rows."""
        return self.clicks / self.rows if self.rows else None


@dataclass(frozen=True)
class PairMeetings:
    """A pair of values in the training rows.

    first, second   each value by itself, over all training rows
    product         ⟨v, v'⟩ as learned, 0 without a pairwise term
    rows, clicks    training rows in which they meet, and clicks among them; None without dataset
    looked_at       how many training rows were looked at for that; 0 without dataset
    of              how many training rows there are; 0 without dataset
    advice          what to do for the counts where the dataset is not here, else ""
    """

    fields: tuple[str, str]
    first: Alone
    second: Alone
    product: float
    rows: int | None
    clicks: int | None
    looked_at: int
    of: int
    advice: str

    @property
    def click_rate(self) -> float | None:
        """Clicks per row in which they meet; None where that is not known or there is none."""
        return self.clicks / self.rows if self.rows and self.clicks is not None else None


def pair_in_training(
    model: TrainedModel, ids: Ids, field: str, other_field: str, dataset: "Dataset | None" = None
) -> PairMeetings:
    """The values that the impression ids int32[F] has in two fields, and how often they meet.

    dataset  the run's own, memory-mapped; without it the two values are known, not their meetings
    SchemaError for an unknown field, RunError for another dataset.
    """
    named = model.vocabulary.field
    places = [model.fields.index(named(name)) for name in (field, other_field)]
    first, second = (int(checked(model, ids)[place]) for place in places)
    vectors = model.weights.factors[[first, second]].astype(np.float64)
    rows = clicks = None
    looked_at = of = 0
    if dataset is not None:
        check_dataset(model, dataset)
        of = len(dataset.parts["train"])
        rows, clicks, looked_at = _count(dataset, (places[0], first), (places[1], second))
    return PairMeetings(
        (field, other_field),
        _alone(model, field, first),
        _alone(model, other_field, second),
        float(vectors[0] @ vectors[1]),
        rows,
        clicks,
        looked_at,
        of,
        ""
        if dataset is not None
        else f"How often the two meet is known where the dataset {model.dataset_name!r} is. "
        "Open it on this server.",
    )


def _alone(model: TrainedModel, field: str, index: int) -> Alone:
    vocabulary = model.vocabulary
    text = vocabulary.decode_column(field, np.array([index]))[0].as_py()
    return Alone(text, int(vocabulary.counts[index]), int(vocabulary.clicks[index]))


def _count(
    dataset: "Dataset", first: tuple[int, int], second: tuple[int, int]
) -> tuple[int, int, int]:
    """Rows that have both (position, feature), clicks among them, and rows looked at."""
    part = dataset.parts["train"]
    rows = clicks = looked_at = 0
    for block in _spread(len(part)):
        ids = part.ids[block]
        both = np.flatnonzero(ids[:, first[0]] == first[1])
        both = both[ids[both, second[0]] == second[1]]
        rows += len(both)
        clicks += int(part.labels[block][both].sum())
        looked_at += len(ids)
    return rows, clicks, looked_at


def _spread(rows: int) -> list[slice]:
    """Blocks that cover all rows, or evenly as many as are looked at."""
    blocks = list(slices(rows, _BLOCK_ROWS))
    most = max(1, MOST_ROWS // _BLOCK_ROWS)
    if len(blocks) <= most:
        return blocks
    return [blocks[i] for i in np.linspace(0, len(blocks) - 1, most).astype(int)]

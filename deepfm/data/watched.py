"""A dataset to the few impressions that are watched while a model learns from it."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset, Part

PICKED: Final = 3
"""Impressions watched on data that are not the demo: a click, a non-click, another click."""
LOOKED_AT: Final = 20_000
"""Rows looked through for them."""

DEMO: Final = "demo"
"""The name of the bundled dataset, whose watched impressions are composed."""


def watched_impressions(dataset: "Dataset") -> list[dict[str, str]]:
    """The demo's composed ones, else the first of a few kinds of row, as field to raw value.

    A click, a non-click and a second click of the part that is judged; none where raw values
    cannot be had back.
    """
    if dataset.name == DEMO:
        from deepfm.data.catalog import PINNED

        return [dict(impression.values) for impression in PINNED]
    part = dataset.parts[dataset.figures_part]
    if not part.has_rows and any(field.role == "numeric" for field in dataset.fields):
        # Training rows are kept as indices alone, and a bucket is not a number to score again.
        return []
    labels = part.labels[:LOOKED_AT]
    clicks, others = (labels > 0.5).nonzero()[0], (labels <= 0.5).nonzero()[0]
    rows = [*clicks[:1], *others[:1], *clicks[1:2], *others[1:2]][:PICKED]
    return [_raw_values(dataset, part, int(row)) for row in rows]


def _raw_values(dataset: "Dataset", part: "Part", row: int) -> dict[str, str]:
    """One row as field to raw value; an empty cell is empty text, training rows are decoded."""
    if not part.has_rows:
        return dataset.vocabulary.decode(part.ids[row])
    values = part.rows(row, 1).to_pylist()[0]
    names = [field.name for field in dataset.fields]
    return {name: "" if values.get(name) is None else str(values[name]) for name in names}

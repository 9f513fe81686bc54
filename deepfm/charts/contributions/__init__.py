"""One impression's explanation to figures: its terms, its waterfall, its fields and its pairs.

Values are drawn as they are; only their labels are rounded, so parts still add up.
"""

from deepfm.charts.contributions.fields import (
    FieldRow,
    bar_height,
    field_rows,
    fields_figure,
)
from deepfm.charts.contributions.pairs import MOST_PAIR_FIELDS, pairs_figure
from deepfm.charts.contributions.terms import term_values, terms_figure
from deepfm.charts.contributions.waterfall import Step, waterfall_figure, waterfall_steps
from deepfm.charts.contributions.what_if import Variant, what_if_figure

__all__ = [
    "MOST_PAIR_FIELDS",
    "FieldRow",
    "Step",
    "Variant",
    "bar_height",
    "field_rows",
    "fields_figure",
    "pairs_figure",
    "term_values",
    "terms_figure",
    "waterfall_figure",
    "waterfall_steps",
    "what_if_figure",
]

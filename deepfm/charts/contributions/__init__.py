"""One impression's explanation to figures: terms, models, waterfall, fields, pairs, values, layers.

Values are drawn as they are; only their labels are rounded, so parts still add up.
"""

from deepfm.charts.contributions.fields import (
    FieldRow,
    bar_height,
    field_rows,
    fields_figure,
)
from deepfm.charts.contributions.layers import (
    layer_names,
    layers_figure,
    layers_height,
    unit_bars,
    unit_figure,
    unit_parts,
)
from deepfm.charts.contributions.models import ModelSays, models_figure
from deepfm.charts.contributions.pairs import (
    MOST_PAIR_FIELDS,
    pair_at,
    pair_order,
    pairs_figure,
    pairs_height,
)
from deepfm.charts.contributions.surfaces import (
    surface_values,
    surfaces_figure,
    surfaces_height,
)
from deepfm.charts.contributions.terms import term_values, terms_figure
from deepfm.charts.contributions.values import ScoredValues, drawn_ranks, values_figure
from deepfm.charts.contributions.waterfall import Step, waterfall_figure, waterfall_steps
from deepfm.charts.contributions.what_if import Variant, what_if_figure

__all__ = [
    "MOST_PAIR_FIELDS",
    "FieldRow",
    "ModelSays",
    "ScoredValues",
    "Step",
    "Variant",
    "bar_height",
    "drawn_ranks",
    "field_rows",
    "fields_figure",
    "layer_names",
    "layers_figure",
    "layers_height",
    "models_figure",
    "pair_at",
    "pair_order",
    "pairs_figure",
    "pairs_height",
    "surface_values",
    "surfaces_figure",
    "surfaces_height",
    "term_values",
    "terms_figure",
    "unit_bars",
    "unit_figure",
    "unit_parts",
    "values_figure",
    "waterfall_figure",
    "waterfall_steps",
    "what_if_figure",
]

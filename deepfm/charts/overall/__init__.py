"""What the parts of a model do over all impressions, to the figures of the Model page's tabs."""

from deepfm.charts.overall.defaults import defaults_figure
from deepfm.charts.overall.disagreement import (
    FAR,
    MOST_DOTS,
    Box,
    Disagreement,
    disagreement_figure,
    disagreement_of,
)
from deepfm.charts.overall.embeddings import embedding_figure
from deepfm.charts.overall.fields import field_sizes_figure
from deepfm.charts.overall.pairs import (
    pair_strengths_figure,
    pair_values_figure,
    shown_fields,
    strongest_pairs_figure,
)
from deepfm.charts.overall.region import region_figure

__all__ = [
    "FAR",
    "MOST_DOTS",
    "Box",
    "Disagreement",
    "defaults_figure",
    "disagreement_figure",
    "disagreement_of",
    "embedding_figure",
    "field_sizes_figure",
    "pair_strengths_figure",
    "pair_values_figure",
    "region_figure",
    "shown_fields",
    "strongest_pairs_figure",
]

"""Numbers in the cells of a heat map can be read on every cell's colour, in light and dark."""

import re

import numpy as np
import pytest

from deepfm.charts import contributions, evaluation, palette
from deepfm.charts.branches import covariance_figure
from deepfm.charts.overall import pair_strengths_figure, pair_values_figure
from deepfm.config import TERM_SETS
from deepfm.evaluation import threshold_table
from deepfm.explanation import explain
from deepfm.explanation.overall import pair_strengths, pair_values
from deepfm.trained import open_run
from tests.unit.run_folders import RunSpec, write_run

MODES = ("light", "dark")
LEAST = 4.5
"""WCAG 2, success criterion 1.4.3: words of normal size."""


def channels(text):
    """#rrggbb or rgba(…) as red, green, blue, alpha; red, green, blue from 0 to 1."""
    if text.startswith("#"):
        return np.array([*(int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)), 1.0])
    numbers = [float(part) for part in re.findall(r"[\d.]+", text)]
    return np.array([*(part / 255 for part in numbers[:3]), numbers[3]])


def contrast(one, other):
    bright = []
    for rgb in (one, other):
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        bright.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(bright) / min(bright)


def shown(scale, place, mode):
    """What a place of a plain colour scale looks like on the page."""
    stops = [at for at, _ in scale]
    ends = np.array([channels(text) for _, text in scale])
    mixed = np.array([np.interp(place, stops, ends[:, part]) for part in range(4)])
    ground = channels(palette.COLOURS[mode]["ground"])
    return mixed[3] * mixed[:3] + (1 - mixed[3]) * ground[:3]


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    spec = RunSpec(weight_scale=1.0)
    model = open_run(write_run(tmp_path_factory.mktemp("cells") / "run", spec))
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 500))
    table = threshold_table((rng.random(90) < 0.3).astype(float), rng.random(90))
    return {
        "pairs": contributions.pairs_figure(explain(model, row=3)),
        "strengths": pair_strengths_figure(pair_strengths(model)),
        "values": pair_values_figure(pair_values(model, "word_0", "word_2")),
        "covariance": covariance_figure(np.cov(rows), TERM_SETS["DeepFM"]),
        "confusion": evaluation.confusion_figure(table, 3),
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["pairs", "strengths", "values", "covariance", "confusion"])
def test_a_number_can_be_read_on_its_cell(figures, name, mode):
    trace = palette.resolved(figures[name], mode).data[0]
    cells = np.asarray(figures[name].data[0].z, dtype=float)
    seen = 0
    for row, texts in enumerate(trace.text):
        for column, text in enumerate(texts):
            if not text:
                continue
            own = re.search(r'style="color:(#\w{6})"', text)
            ink = channels(own[1] if own else trace.textfont.color)[:3]
            place = (cells[row, column] - trace.zmin) / (trace.zmax - trace.zmin)
            assert contrast(ink, shown(trace.colorscale, place, mode)) >= LEAST, text
            seen += 1
    assert seen >= 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "scale",
    [
        palette.pairs_colorscale(),
        [[0.0, palette.colour("pairwise", 0.04)], [1.0, palette.colour("pairwise")]],
    ],
    ids=["raises and lowers", "strength"],
)
def test_the_ink_can_be_read_all_along_a_scale(scale, mode):
    for place in np.linspace(0, 1, 201):
        text = palette.inked("1", scale, place)
        figure = palette.new_figure("").add_scatter(text=[text], marker={"colorscale": scale})
        trace = palette.resolved(figure, mode).data[0]
        ink = channels(re.search(r"#\w{6}", trace.text[0])[0])[:3]
        assert contrast(ink, shown(trace.marker.colorscale, place, mode)) >= LEAST


def test_an_empty_cell_stays_empty():
    assert palette.inked("", palette.pairs_colorscale(), 0.5) == ""

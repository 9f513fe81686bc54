"""On a phone a heat map of pairs shows as many fields as have labels that can be read."""

import numpy as np
import pytest

from deepfm.charts.contributions import pair_order, pairs_figure
from deepfm.charts.overall import pair_strengths_figure, shown_fields
from deepfm.explanation import explain
from deepfm.explanation.overall import pair_strengths
from deepfm.trained import open_run
from tests.unit.run_folders import RunSpec, write_run


@pytest.fixture(scope="module", params=[6, 38])
def model(request, tmp_path_factory):
    spec = RunSpec(categorical=(3,) * (request.param - 1))
    return open_run(write_run(tmp_path_factory.mktemp("narrow") / "run", spec))


def narrow_of(figure):
    return figure.layout.meta["narrow"]


def test_the_first_fields_fill_the_narrow_drawing(model):
    for figure in (
        pairs_figure(explain(model, row=0)),
        pair_strengths_figure(pair_strengths(model)),
    ):
        narrow, cells = narrow_of(figure), np.asarray(figure.data[0].z).shape[0]
        shown = min(13, cells)
        assert list(narrow["xaxis"]["range"]) == [-0.5, shown - 0.5]
        assert list(narrow["yaxis"]["range"]) == [shown - 0.5, -0.5]
        assert narrow["yaxis"]["autorange"] is False
        assert len(narrow["yaxis"]["ticktext"]) == cells
        assert ("note" in narrow) == (cells > shown)
        if cells > shown:
            assert "the 14 fields with the strongest pairs" in narrow["note"]
            assert narrow["below"] >= 11 * (cells + 1) + 140


def test_a_rows_value_stands_below_its_name(model):
    why = explain(model, row=0)
    field = pair_order(why)[1]
    first = narrow_of(pairs_figure(why))["yaxis"]["ticktext"][0]
    assert first == f"{field}<br><b>{why.values[field]}</b>"
    found = pair_strengths(model)
    names = narrow_of(pair_strengths_figure(found))["yaxis"]["ticktext"]
    assert list(names) == [found.fields[place] for place in shown_fields(found)[1:]]

"""The Model page's charts: every impression is seen, few are sent, clicks lead to the right row."""

import numpy as np
import pytest

from deepfm.charts.branches import BranchRow, alone_figure, covariance_figure, shares_figure
from deepfm.charts.overall import (
    MOST_DOTS,
    Box,
    defaults_figure,
    disagreement_figure,
    disagreement_of,
    embedding_figure,
    field_sizes_figure,
    pair_strengths_figure,
    pair_values_figure,
    region_figure,
    shown_fields,
    strongest_pairs_figure,
)
from deepfm.charts.palette import resolved
from deepfm.config import TERM_SETS
from deepfm.evaluation import term_shares
from deepfm.evaluation.branches import judge_branches
from deepfm.evaluation.regions import over_represented
from deepfm.explanation.overall import (
    default_effects,
    embedding_map,
    exact_field_sizes,
    pair_strengths,
    pair_values,
)
from deepfm.terms import TERM_NAMES, Terms
from deepfm.trained import open_run
from tests.unit.run_folders import RunSpec, write_run

ZERO = Terms(np.zeros(1), np.zeros(1), np.zeros(1))


def scattered(rows: int, openable: int | None = None):
    """Normal branches and labels of so many impressions."""
    rng = np.random.default_rng(0)
    terms = Terms(*rng.normal(size=(3, rows)))
    labels = (rng.random(rows) < 0.3).astype(np.float32)
    return disagreement_of(terms, ZERO, labels, rows if openable is None else openable)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return open_run(write_run(tmp_path_factory.mktemp("charts") / "run"))


def test_few_impressions_are_a_dot_each_filled_where_clicked():
    found = scattered(50)
    hollow, filled = disagreement_figure(found).data
    assert hollow.marker.symbol == "circle-open" and filled.marker.symbol == "circle"
    assert set(filled.customdata) == set(np.flatnonzero(found.clicked))
    assert len(hollow.x) + len(filled.x) == 50
    assert np.array_equal(filled.x, found.fm[filled.customdata])


def test_of_many_impressions_all_are_counted_and_some_are_dots():
    found = scattered(100_000)
    assert found.density is not None
    assert found.density.count.sum() == 100_000
    assert found.density.clicks.sum() == found.clicked.sum()
    assert 0 < len(found.dots) <= MOST_DOTS and len(set(found.dots)) == len(found.dots)
    assert np.array_equal(found.dots, scattered(100_000).dots), "the sample is fixed"
    assert len(disagreement_figure(found).to_json()) < 400_000


def test_a_cell_opens_an_impression_that_lies_in_it():
    found = scattered(5_000, openable=3_000)
    density = found.density
    for up, across in zip(*np.nonzero(density.row >= 0), strict=True):
        row = density.row[up, across]
        assert row < 3_000
        assert density.across[across] - 1e-9 <= found.fm[row] <= density.across[across + 1] + 1e-9
        assert density.up[up] - 1e-9 <= found.deep[row] <= density.up[up + 1] + 1e-9
    assert ((density.row < 0) >= (density.count == 0)).all()
    assert (found.dots < 3_000).all()


def test_rare_places_keep_their_dots():
    """Far more of the outlying impressions are drawn than of those in the crowd."""
    found = scattered(200_000)
    far = np.hypot(found.fm, found.deep) > 4
    drawn = np.isin(np.arange(200_000), found.dots)
    assert drawn[far].mean() > 10 * drawn[~far].mean()


@pytest.mark.parametrize("rows", [0, 1, 2_000])
def test_branches_that_never_vary_are_drawn(rows):
    zeros = np.zeros(rows)
    found = disagreement_of(Terms(zeros, zeros, zeros), ZERO, zeros, rows)
    assert disagreement_figure(found, Box(-1, 1, -np.inf, np.inf)).to_json()


def test_a_box_holds_what_lies_between_its_ends():
    fm, deep = np.array([0.0, 1.0, 1.0, 2.0]), np.array([0.0, 0.0, 3.0, 0.0])
    assert Box(0.5, 2, -np.inf, 1).holds(fm, deep).tolist() == [False, True, False, True]


def test_the_cells_of_covariance_add_up_to_all_of_the_variance():
    rng = np.random.default_rng(1)
    found = term_shares(Terms(*rng.normal(size=(3, 300))))
    figure = covariance_figure(found.covariance, TERM_SETS["DeepFM"])
    assert np.sum(figure.data[0].z) == pytest.approx(100)
    rows = np.sum(figure.data[0].z, axis=1)
    assert rows == pytest.approx([100 * share for share in found.shares.values()])


def shown(figure) -> list[list[int]]:
    """Whole percents as they are written in a figure's cells."""
    return [[int(cell.removesuffix(" %").replace("−", "-")) for cell in row] for row in figure]


@pytest.mark.parametrize("seed", range(40))
def test_what_is_written_of_the_variance_adds_up(seed):
    """Cells to their row's share, shares to 100, each within one percent of what it is."""
    rng = np.random.default_rng(seed)
    terms = TERM_SETS[("DeepFM", "FM", "Wide & Deep")[seed % 3]]
    mixed = rng.normal(size=(3, 3)) @ rng.normal(size=(3, 300))
    values = [mixed[place] * (name in terms) for place, name in enumerate(TERM_NAMES)]
    found = term_shares(Terms(*values))
    figure = covariance_figure(found.covariance, terms)
    cells = np.array(shown(figure.data[0].text))
    bars = shares_figure(found, terms).data
    assert cells.sum() == 100 and (cells == cells.T).all()
    assert cells.sum(axis=1).tolist() == [shown([bar.text])[0][0] for bar in bars]
    assert np.abs(cells - figure.data[0].z).max() < 1
    assert np.abs(cells.sum(axis=1) - [bar.x[0] for bar in bars]).max() < 1


def test_a_covariance_of_next_to_nothing_is_zero_without_a_sign():
    covariance = np.array([[0.03, 0.01, -0.001], [0.01, 0.5, -0.04], [-0.001, -0.04, 0.4]])
    words = covariance_figure(covariance, TERM_SETS["DeepFM"]).data[0].text
    assert words[0][2] == "0 %" and words[1][2] == "−5 %"


def test_a_model_of_one_branch_is_not_all_together(model):
    scores = model.scores()
    found = judge_branches(scores.labels, scores.terms, model.reference.mean, model.model.terms)
    alone = alone_figure([BranchRow("all", found["all"])], 0.5)
    assert list(alone.layout.yaxis.ticktext) == ["The model"]
    assert "branch" not in alone.layout.title.text
    several = alone_figure([BranchRow(name, figures) for name, figures in found.items()], 0.5)
    assert several.layout.yaxis.ticktext[-1] == "All together"


def test_whiskers_reach_to_the_ends_of_the_interval(model):
    scores = model.scores()
    found = judge_branches(scores.labels, scores.terms, model.reference.mean, model.model.terms)
    rows = [BranchRow(name, figures, figures, "FM") for name, figures in found.items()]
    figure = alone_figure(rows, 0.5)
    silenced, trained, *_ = figure.data
    for place, judged in enumerate(found.values()):
        assert silenced.x[place] + silenced.error_x.array[place] == pytest.approx(judged.auc_high)
        assert trained.x[place] - trained.error_x.arrayminus[place] == pytest.approx(judged.auc_low)


def test_a_click_on_a_cell_or_bar_names_the_pair(model):
    found = pair_strengths(model)
    order = shown_fields(found)
    cells = pair_strengths_figure(found).data[0]
    for row, column in ((0, 0), (2, 1), (3, 3)):
        assert cells.z[row][column] == found.strength[order[row + 1], order[column]]
    bars = strongest_pairs_figure(found).data[0]
    assert list(bars.x) == [strength for *_, strength in found.ranked[: len(bars.x)]]


def test_every_chart_has_a_title_and_colours_of_both_themes(tmp_path):
    model = open_run(write_run(tmp_path / "run", RunSpec(categorical=(4, 3))))
    ids = model.impression_ids()
    chosen = np.arange(len(ids)) < 20
    region = over_represented(model.vocabulary, ids, np.zeros(len(ids)), chosen)
    figures = [
        field_sizes_figure(exact_field_sizes(model, ids)),
        defaults_figure(default_effects(model), model.model.terms),
        embedding_figure(embedding_map(model, "word_0")),
        pair_values_figure(pair_values(model, "word_0", "word_1")),
        pair_strengths_figure(pair_strengths(model)),
        region_figure(region.values),
    ]
    for figure in figures:
        assert figure.layout.title.text
        for mode in ("light", "dark"):
            assert "var(--dfm" not in resolved(figure, mode).to_json()

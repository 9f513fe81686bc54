"""The tour on Frappe: names that fit its data alone, figures that add up, small pictures."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.tour import figures, pictures
from benchmarks.tour.fields import SIZES, check_blocks, with_names
from benchmarks.tour.impression import impression_in_words
from benchmarks.tour.runs import MODELS, SeedRuns, seed_runs
from deepfm.config import TERM_SETS, ModelConfig
from deepfm.data.schema import inspect
from deepfm.errors import DataError
from deepfm.trained import open_run
from tests.unit.run_folders import RunSpec, write_run

ROOT = Path(__file__).resolve().parents[2]


def frappe_like(rows: int = 200) -> pa.Table:
    """Indices drawn in each field's block, the weekend following from the day."""
    rng = np.random.default_rng(0)
    start, columns = 0, {}
    for name, size in SIZES.items():
        columns[name] = start + rng.integers(0, size, rows)
        start += size
    first_day, first_weekend = 957 + 4082 + 7, 957 + 4082 + 7 + 7
    columns["isweekend"] = first_weekend + (columns["weekday"] - first_day >= 5)
    return pa.table({name: pa.array(map(str, values)) for name, values in columns.items()})


def changed(rows: pa.Table, name: str, values: list[str]) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, pa.array(values))


def libsvm(path: Path, rows: pa.Table) -> Path:
    lines = [
        f"{number % 3 == 0:d} " + " ".join(f"{row[name]}:1" for name in rows.column_names)
        for number, row in enumerate(rows.to_pylist())
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_ten_indices_get_the_papers_names(tmp_path):
    schema = with_names(inspect(libsvm(tmp_path / "valid.libsvm", frappe_like())).schema)
    assert schema.names == ("label", *SIZES)
    assert sum(SIZES.values()) == 5382


def test_nine_indices_are_not_frappe(tmp_path):
    rows = frappe_like().drop_columns(["city"])
    with pytest.raises(DataError, match="have 9"):
        with_names(inspect(libsvm(tmp_path / "valid.libsvm", rows)).schema)


def test_indices_in_their_blocks_are_frappes():
    check_blocks(frappe_like())


def test_an_index_outside_its_block_is_other_data():
    rows = frappe_like()
    with pytest.raises(DataError, match=r"field user are .* to 957"):
        check_blocks(changed(rows, "user", ["957"] * len(rows)))


def test_a_weekend_that_does_not_follow_from_the_day_is_other_data():
    rows = frappe_like()
    weekend = [("5053", "5054")[number % 2] for number in range(len(rows))]
    with pytest.raises(DataError, match="weekends follow from days"):
        check_blocks(changed(rows, "isweekend", weekend))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> SeedRuns:
    folder = tmp_path_factory.mktemp("tour")
    models = {
        name: open_run(
            write_run(
                folder / name,
                RunSpec(model, categorical=(3, 2, 2), numeric=False, weight_scale=0.3),
            )
        )
        for name in MODELS
        if (model := ModelConfig(num_factors=3, mlp_dims=(3,), terms=TERM_SETS[name]))
    }
    return seed_runs(0, models)


def test_what_was_measured_beyond_pairs_is_kept_for_the_app(runs):
    again = seed_runs(0, {"DeepFM": runs.whole, **runs.trained})
    assert again.beyond.deep == runs.beyond.deep
    assert (runs.whole.folder / "beyond.json").is_file()


def test_shares_of_the_tour_add_up(runs):
    rows = {row.what: row.seeds[0].value for row in figures.rows_of([runs])}
    of_score = [value for what, value in rows.items() if what.startswith("share of the score")]
    of_cells = [value for what, value in rows.items() if what.startswith("of it")]
    of_network = [value for what, value in rows.items() if what.startswith("of the network")]
    assert [len(of_score), len(of_cells), len(of_network)] == [3, 6, 3]
    for shares in (of_score, of_cells, of_network):
        assert sum(shares) == pytest.approx(1, abs=1e-6)


def test_the_lead_over_a_model_is_the_difference_of_the_two_aucs(runs):
    rows = {row.what: row.seeds[0].value for row in figures.rows_of([runs])}
    alone = rows["AUC: FM, trained without the other"]
    assert rows["AUC: DeepFM ahead of that FM"] == pytest.approx(rows["AUC: DeepFM"] - alone)


def test_a_line_has_the_first_seed_with_its_interval_and_the_spread_of_all(runs):
    other = dataclasses.replace(runs, seed=1)
    rows = figures.rows_of([runs, other])
    name, first, spread = rows[0].cells()
    assert name == "AUC: DeepFM"
    assert re.fullmatch(r"0\.\d{4} \(0\.\d{4} to 0\.\d{4}\)", first)
    assert spread == f"{first[:6]} ± 0.0000"
    header, rule, *lines = figures.table(rows, (0, 1)).splitlines()
    assert "seed 0" in header and "2 seeds" in header and set(rule) <= set("|-: ")
    assert len(lines) == len(rows)


def test_an_impression_is_told_with_its_sentence_and_its_parts(runs):
    values, sentence, parts, *_ = impression_in_words(runs.whole, runs.beyond, 0)
    assert values.startswith("Test row 0 (word_0 ")
    assert "for a typical impression" in sentence
    base, linear, pairwise, deep, logit = (
        float(number.replace("−", "-")) for number in re.findall(r"[+−]\d+\.\d\d", parts)
    )
    assert base + linear + pairwise + deep == pytest.approx(logit, abs=0.03)


def test_the_readme_shows_the_tours_pictures_and_they_are_small():
    readme = (ROOT / "README.md").read_text("utf-8")
    files = [ROOT / "assets" / each.name for each in pictures.pictures_of("run", 0)]
    assert all(f"](assets/{file.name})" in readme for file in files)
    assert all(file.stat().st_size < pictures.LARGEST for file in files)
    assert sum(file.stat().st_size for file in files) < 400_000

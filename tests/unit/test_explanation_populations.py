"""Every population to measure against, on models that were really trained."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepfm.data.dataset import Dataset
from deepfm.errors import Cancelled, RunError, SchemaError
from deepfm.explanation import (
    AllTrainingRows,
    OtherImpression,
    Population,
    TrainingSample,
    TrainingSlice,
    describe,
    explain,
    measure_training_rows,
    more_draws,
    reference_for,
)
from deepfm.runs.store import Store
from deepfm.trained import TRAINING_MEANS, TrainedModel, open_run
from tests.unit.run_folders import ALL_MODELS
from tests.unit.small_models import brute_force, by_field, clicks_dataset, trained_on

ROOT = Path(__file__).resolve().parents[2]
PHONES = TrainingSlice.of({"device": "phone", "site": ["site 1", "site 2"]})
KINDS = ("sample", "slice", "slice without dataset", "other", "all")
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return clicks_dataset(tmp_path_factory.mktemp("clicks"), rows=3_000)


@pytest.fixture(scope="module", params=ALL_MODELS.values(), ids=ALL_MODELS)
def every_model(
    request: pytest.FixtureRequest, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> TrainedModel:
    model = trained_on(dataset, tmp_path_factory.mktemp("runs") / "run", **request.param)
    measure_training_rows(model, dataset)
    return model


@pytest.fixture
def model(dataset: Dataset, tmp_path: Path) -> TrainedModel:
    return trained_on(dataset, tmp_path / "run")


def population(model: TrainedModel, kind: str) -> Population:
    if kind == "sample":
        return TrainingSample()
    if kind == "other":
        return OtherImpression.row(model, None, 3)
    return AllTrainingRows() if kind == "all" else PHONES


def rows_of(model: TrainedModel, kind: str, dataset: Dataset) -> np.ndarray:
    """The population itself, int32[N, F], found by a plain loop over decoded rows."""
    if kind == "other":
        return model.impression_ids()[3:4]
    if kind == "all":
        return dataset.parts["train"].ids
    kept = model.reference_ids if "sample" in kind else dataset.parts["train"].ids
    if kind == "slice without dataset":  # the rows that were kept when all were measured
        kept = model.training_means().ids
    if kind == "sample":
        return kept
    names = [field.name for field in model.fields]
    device, site = (
        model.vocabulary.decode_column(name, kept[:, names.index(name)]).to_pylist()
        for name in ("device", "site")
    )
    fits = [d == "phone" and s in ("site 1", "site 2") for d, s in zip(device, site, strict=True)]
    return kept[fits]


@each_kind
def test_parts_add_up_for_every_impression_every_reference_and_every_terms_setting(
    every_model: TrainedModel, dataset: Dataset, kind: str
) -> None:
    given = None if kind == "slice without dataset" else dataset
    reference = reference_for(every_model, population(every_model, kind), given)
    stored = every_model.scores()
    assert len(stored) > 80
    for row in range(len(stored)):
        why = explain(every_model, row=row, permutations=1 + row % 4, reference=reference)
        parts = why.base + why.linear + why.pairwise + why.deep
        assert parts == pytest.approx(stored.terms.logit[row], abs=1e-4)
        assert sum(why.linear_by_field.values()) == pytest.approx(why.linear, abs=1e-9)
        assert sum(why.pairwise_by_field.values()) == pytest.approx(why.pairwise, abs=1e-9)
        assert sum(why.pairs.values()) == pytest.approx(why.pairwise, abs=1e-9)
        assert np.nansum(why.pair_matrix()) / 2 == pytest.approx(why.pairwise, abs=1e-9)
        assert by_field(why.deep_by_field).sum() == pytest.approx(why.deep, abs=1e-5)
        assert sum(why.reference_means.values()) == pytest.approx(why.base, abs=1e-9)


@each_kind
def test_linear_and_pairwise_are_those_of_all_subsets_over_the_population(
    every_model: TrainedModel, dataset: Dataset, kind: str
) -> None:
    given = None if kind == "slice without dataset" else dataset
    reference = reference_for(every_model, population(every_model, kind), given)
    rows = rows_of(every_model, kind, dataset)
    assert len(reference) == len(rows)
    assert reference.base == pytest.approx(every_model.score(rows).logit.mean(), abs=1e-5)
    for row in range(2):
        why = explain(every_model, row=row, reference=reference)
        for name, found in (("linear", why.linear_by_field), ("pairwise", why.pairwise_by_field)):
            expected = brute_force(
                lambda rows, name=name: getattr(every_model.score(rows), name), why.ids, rows
            )
            np.testing.assert_allclose(by_field(found), expected, atol=1e-5)


@each_kind
def test_sampled_deep_values_miss_all_subsets_as_often_as_they_say(
    model: TrainedModel, dataset: Dataset, kind: str
) -> None:
    measure_training_rows(model, dataset)
    reference = reference_for(model, population(model, kind), dataset)
    kind = kind.removesuffix(" without dataset")
    rows, misses = rows_of(model, kind, dataset), []
    for row in range(8):
        expected = brute_force(model.deep, model.impression_ids()[row], rows)
        for seed in range(8):
            why = explain(model, row=row, permutations=150, seed=seed, reference=reference)
            error = by_field(why.deep_standard_error)
            missed = by_field(why.deep_by_field) - expected
            sure = error > 1e-7  # no whiskers where a field has the same value on both sides
            assert (np.abs(missed[~sure]) < 1e-5).all()
            misses += (missed[sure] / error[sure]).tolist()
    assert (np.abs(misses) < 3).mean() > 0.98
    assert 0.6 < (np.abs(misses) < 1).mean() < 0.78


# --- All training rows --------------------------------------------------------------------------


def test_means_over_all_rows_are_the_same_in_blocks_of_any_size(
    model: TrainedModel, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_training_rows(model, dataset)
    at_once = model.training_means()
    done: list[int] = []
    monkeypatch.setattr("deepfm.trained.reference.BLOCK_NUMBERS", 5_000)
    measure_training_rows(model, dataset, done.append)
    in_blocks, rows = model.training_means(), len(dataset.parts["train"])
    assert done[-1] == rows and len(done) > 10 and done == sorted(done)
    assert at_once is not None and in_blocks is not None
    for name in ("linear_means", "factor_means", "pair_means", "deep_mean"):
        first, second = getattr(at_once.means, name), getattr(in_blocks.means, name)
        np.testing.assert_allclose(first, second, atol=1e-6)
    assert at_once.means.rows == rows


def test_all_rows_must_be_measured_before(model: TrainedModel, dataset: Dataset) -> None:
    with pytest.raises(RunError, match=r"not measured for this run yet\. Measure them first"):
        explain(model, row=0, reference=AllTrainingRows())
    measure_training_rows(model, dataset)
    why = explain(model, row=0, reference=AllTrainingRows())
    rows = len(dataset.parts["train"])
    assert why.reference == f"all {rows:,} training rows"
    assert (why.reference_kind, why.reference_rows, why.advice) == ("all", rows, "")
    assert [path.name for path in model.folder.glob(f"{TRAINING_MEANS}*")] == [TRAINING_MEANS]


def test_means_of_another_model_in_the_folder_count_as_absent(
    model: TrainedModel, dataset: Dataset, tmp_path: Path
) -> None:
    other = trained_on(dataset, tmp_path / "other", epochs=3)
    measure_training_rows(other, dataset)
    (other.folder / TRAINING_MEANS).replace(model.folder / TRAINING_MEANS)
    assert model.training_means() is None
    with pytest.raises(RunError, match="not measured"):
        reference_for(model, AllTrainingRows())


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"x" * 1_000])
def test_damaged_means_are_named(model: TrainedModel, content: bytes) -> None:
    (model.folder / TRAINING_MEANS).write_bytes(content)
    with pytest.raises(RunError, match=TRAINING_MEANS):
        model.training_means()


def test_a_pass_that_is_stopped_leaves_nothing(model: TrainedModel, dataset: Dataset) -> None:
    def stop(done: int) -> None:
        raise Cancelled("Cancelled.")

    before = sorted(model.folder.iterdir())
    with pytest.raises(Cancelled):
        measure_training_rows(model, dataset, stop)
    assert sorted(model.folder.iterdir()) == before


def test_a_worker_measures_all_rows_as_a_job(
    model: TrainedModel, dataset: Dataset, tmp_path: Path
) -> None:
    with Store.open(tmp_path / "home") as store, worker(tmp_path / "home"):
        payload = {"run": str(model.folder), "dataset": str(dataset.folder)}
        job = store.queue_job("training_means", payload)
        eventually = time.monotonic() + 120
        while not store.job(job).ended:
            assert time.monotonic() < eventually
            time.sleep(0.05)
        done = store.job(job)
        assert (done.state, done.result) == ("finished", {"rows": len(dataset.parts["train"])})
    assert model.training_means() is not None


@contextlib.contextmanager
def worker(home: Path) -> Iterator[None]:
    """A real worker of this home, without the training's warm-up."""
    code = f"from benchmarks.lab import serve; serve({str(home)!r}, 'benchmarks.lab:train')"
    environment: dict[str, str] = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


# --- Slices and other impressions ---------------------------------------------------------------


def test_a_slice_says_which_rows_and_how_many(model: TrainedModel, dataset: Dataset) -> None:
    words = "device = phone, site = site 1 or site 2"
    count = len(rows_of(model, "slice", dataset))
    why = explain(model, row=0, reference=PHONES, dataset=dataset)
    assert why.reference == f"the {count} training rows with {words}"
    assert (why.reference_kind, why.reference_rows, why.advice) == ("slice", count, "")
    assert why.against == f"a typical impression with {words}"
    phones = TrainingSlice.of({"device": "phone"})
    found = int(dataset.vocabulary.counts[dataset.vocabulary.encode_column("device", ["phone"])][0])
    large = explain(model, row=0, reference=phones, dataset=dataset)
    assert large.reference == (
        f"1,000 of the {found:,} training rows with device = phone, drawn at random"
    )
    assert large.reference_rows == 1_000


def test_without_the_dataset_a_slice_is_of_the_rows_that_go_with_the_run(
    model: TrainedModel, dataset: Dataset
) -> None:
    why = explain(model, row=0, reference=PHONES)
    decoded = [model.decode(row) for row in model.reference_ids]
    count = sum(row["device"] == "phone" and row["site"] in ("site 1", "site 2") for row in decoded)
    assert why.reference.startswith(f"the {count} of the 1,000 training rows kept with this run")
    assert "'Clicks' is not here" in why.advice and "open it" in why.advice
    measure_training_rows(model, dataset)
    more = explain(model, row=0, reference=PHONES)
    assert more.reference_rows > why.reference_rows


def test_a_slice_without_rows_is_refused(model: TrainedModel, dataset: Dataset) -> None:
    none = TrainingSlice.of({"device": "nobody has this"})
    with pytest.raises(RunError, match=r"None of the [\d,]+ training rows has device = nobody"):
        explain(model, row=0, reference=none, dataset=dataset)
    with pytest.raises(RunError, match=r"kept with this run has .* open it to use all of them"):
        explain(model, row=0, reference=none)
    with pytest.raises(SchemaError, match="'colour'"):
        explain(model, row=0, reference=TrainingSlice.of({"colour": "red"}), dataset=dataset)


def test_another_dataset_is_refused(model: TrainedModel, tmp_path: Path) -> None:
    other = clicks_dataset(tmp_path / "other", rows=500, name="Other clicks")
    with pytest.raises(RunError, match="'Other clicks' is another dataset"):
        explain(model, row=0, reference=PHONES, dataset=other)
    with pytest.raises(RunError, match="Give the dataset of this run"):
        measure_training_rows(model, other)


def test_why_this_and_not_that(model: TrainedModel) -> None:
    that = OtherImpression.row(model, None, 1)
    why = explain(model, row=0, reference=that, permutations=30)
    other = model.impression(None, 1)
    assert why.base == pytest.approx(float(model.score(other.ids[None]).logit[0]), abs=1e-5)
    assert (why.reference_kind, why.reference_rows) == ("other", 1)
    assert why.reference == why.against == f"row 1 of the {model.part} part"
    same = [
        field.name for field, a, b in zip(model.fields, why.ids, other.ids, strict=True) if a == b
    ]
    for contributions in (why.linear_by_field, why.pairwise_by_field, why.deep_by_field):
        assert contributions is not None
        assert all(contributions[name] == pytest.approx(0, abs=1e-5) for name in same)
    assert f"for row 1 of the {model.part} part. " in "".join(s.text for s in describe(why))
    itself = explain(model, row=1, reference=that, permutations=3)
    assert (itself.linear, itself.pairwise) == (0, 0)
    assert itself.deep == pytest.approx(0, abs=1e-6)
    assert by_field(itself.deep_by_field) == pytest.approx(0, abs=1e-6)


def test_against_one_other_impression_the_answer_turns_round(model: TrainedModel) -> None:
    there = explain(model, row=0, reference=OtherImpression.row(model, None, 1), permutations=200)
    back = explain(model, row=1, reference=OtherImpression.row(model, None, 0), permutations=200)
    assert by_field(there.linear_by_field) == pytest.approx(-by_field(back.linear_by_field))
    assert by_field(there.pairwise_by_field) == pytest.approx(
        -by_field(back.pairwise_by_field), abs=1e-6
    )
    error = by_field(there.deep_standard_error) + by_field(back.deep_standard_error)
    assert (
        np.abs(by_field(there.deep_by_field) + by_field(back.deep_by_field)) < 4 * error + 1e-5
    ).all()


def test_populations_can_be_kept_by_what_they_say(model: TrainedModel) -> None:
    assert len({PHONES, TrainingSlice.of({"device": "phone", "site": ("site 1", "site 2")})}) == 1
    assert OtherImpression.row(model, None, 1) == OtherImpression.row(model, model.part, 1)
    assert {TrainingSample(), AllTrainingRows()} == {AllTrainingRows(), TrainingSample()}


def test_more_draws_are_asked_for_against_the_same_population(
    model: TrainedModel, dataset: Dataset
) -> None:
    from deepfm.errors import ConfigError

    reference = reference_for(model, PHONES, dataset)
    why = explain(model, row=0, permutations=20, reference=reference)
    more: Any = more_draws(model, why, 90, reference)
    assert more.permutations == 90
    assert (
        more.deep_by_field
        == explain(model, row=0, permutations=90, reference=reference).deep_by_field
    )
    with pytest.raises(ConfigError, match="Give the population that it was made with"):
        more_draws(model, why, 90)


def test_a_run_is_opened_with_its_means(model: TrainedModel, dataset: Dataset) -> None:
    measure_training_rows(model, dataset)
    again = open_run(model.folder)
    first, second = (reference_for(each, AllTrainingRows()) for each in (model, again))
    assert first.base == second.base

"""Other models on the same parts: real libraries, a small dataset, and what follows in words."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deepfm.config import ModelConfig, PrepareConfig, Settings, TrainConfig
from deepfm.data.dataset import Dataset, prepare
from deepfm.errors import Cancelled, RunError
from deepfm.evaluation import AucDifference, compare_aucs, log_loss
from deepfm.evaluation.baselines import (
    BASELINES_FILE,
    FITS,
    Baseline,
    Baselines,
    read_baselines,
    run_baselines,
    verdict,
    write_baselines,
)
from deepfm.evaluation.baselines import models as models_module
from deepfm.evaluation.baselines.models import Fitted
from deepfm.evaluation.baselines.rows import BaselineData, Rows, Watch, baseline_data
from deepfm.evaluation.baselines.running import labels_digest
from deepfm.events import Event, Progress
from deepfm.runs.worker.jobs import baselines as baselines_job
from deepfm.runs.worker.table import Context
from deepfm.trained import TrainedModel, open_run
from deepfm.training.loop import train

ROWS = 3_000


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Clicks that follow one field, a price, and no more."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    site, word, price = rng.integers(0, 6, ROWS), rng.integers(0, 400, ROWS), rng.random(ROWS)
    rate = 1 / (1 + np.exp(-(0.6 * site - 2.5 + 1.5 * price)))
    clicked = rng.random(ROWS) < rate
    lines = ["click,site,word,price"]
    lines += [
        f"{c:d},site {s},w{w},{'' if w == 7 else f'{p:.3f}'}"
        for c, s, w, p in zip(clicked, site, word, price, strict=True)
    ]
    (folder / "clicks.csv").write_text("\n".join(lines) + "\n")
    test = folder / "test.csv"
    test.write_text("\n".join([lines[0], *lines[1:601]]) + "\n")
    (folder / "train.csv").write_text("\n".join([lines[0], *lines[601:]]) + "\n")
    config = PrepareConfig(min_count=1, validation=0.2)
    return prepare(folder / "train.csv", test, out=folder / "dataset", config=config)


@pytest.fixture(scope="module")
def model(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    out = tmp_path_factory.mktemp("runs") / "run"
    train(dataset, ModelConfig(num_factors=2, mlp_dims=(4,)), TrainConfig(epochs=1), out=out)
    return open_run(out)


def test_every_model_is_judged_by_the_very_rows_of_the_run(
    model: TrainedModel, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models_module, "TREES", 100)
    events: list[Event] = []
    found = run_baselines(model, dataset, on_event=events.append)
    assert [one.name for one in found.models] + list(found.missing) == list(FITS)
    assert found.own.auc == pytest.approx(found.models[1].auc, abs=0.4)
    assert (found.rows, found.part, found.stopping) == (600, "test", "validation rows")
    assert found.labels == labels_digest(model.scores().labels)
    base, regression, *trees = found.models
    assert base.auc == 0.5 and base.difference is not None
    train_rate = dataset.summary().parts["train"].base_rate
    logit = np.full(600, np.log(train_rate / (1 - train_rate)))
    assert base.log_loss == pytest.approx(log_loss(model.scores().labels, logit))
    for one in (regression, *trees):
        assert one.auc is not None and one.auc > 0.68, one.name
        assert one.log_loss < base.log_loss and not one.late
        assert one.difference is not None
        assert one.difference.difference == pytest.approx(one.auc - (found.own.auc or 0))
    stages = {event.stage for event in events if isinstance(event, Progress)}
    assert {"Fitting Logistic regression", "Fitting Boosted trees"} <= stages
    told = [event for event in events if isinstance(event, Progress)]
    shares = [event.share for event in told]
    assert shares == sorted(shares), "the bar never goes back, whatever is not installed"
    assert told[0].number == 1 and told[-1].number == told[-1].stages == len(stages)


def test_codes_count_from_zero_within_each_field(model: TrainedModel, dataset: Dataset) -> None:
    data = baseline_data(model, dataset)
    assert data.sizes == dataset.vocabulary.field_dims
    assert data.numeric == tuple(field.role == "numeric" for field in dataset.fields)
    for rows, part in ((data.train, "train"), (data.stopping, "validation"), (data.judged, "test")):
        offsets = np.array([field.offset for field in dataset.fields])
        np.testing.assert_array_equal(rows.codes + offsets, dataset.parts[part].ids)
        np.testing.assert_array_equal(rows.labels, dataset.parts[part].labels)


def test_without_other_validation_rows_part_of_the_training_rows_decides(
    dataset: Dataset, model: TrainedModel
) -> None:
    """Judged by validation rows, nothing may be chosen on them."""
    config = dataclasses.replace(model.config, part="validation")
    data = baseline_data(dataclasses.replace(model, config=config), dataset)
    assert len(data.train) + len(data.stopping) == len(dataset.parts["train"])
    assert data.stopping_words == "10% of the training rows, held out"
    np.testing.assert_array_equal(data.judged.labels, dataset.parts["validation"].labels)


def test_missing_numbers_and_many_values_get_columns_that_trees_read(
    model: TrainedModel, dataset: Dataset
) -> None:
    data = baseline_data(model, dataset)
    columns = models_module._tree_columns(data)[0]
    names = [field.name for field in dataset.fields]
    word, price = names.index("word"), names.index("price")
    assert data.sizes[word] > models_module.NATIVE_VALUES
    assert ((columns[:, word] >= 0) & (columns[:, word] <= 1)).all()
    missing = data.train.codes[:, price] >= data.sizes[price] - 2
    assert missing.any()
    np.testing.assert_array_equal(np.isnan(columns[:, price]), missing)


def test_one_hot_columns_are_a_plain_loop() -> None:
    codes = np.array([[0, 2], [1, 0], [0, 1]], np.int32)
    dense = models_module._one_hot(codes, (2, 3)).toarray()
    for row, values in enumerate(codes):
        expected = np.zeros(5)
        expected[[values[0], 2 + values[1]]] = 1
        np.testing.assert_array_equal(dense[row], expected)


@pytest.mark.parametrize("name", list(FITS)[1:])
def test_a_model_whose_time_is_up_keeps_what_it_has(
    name: str, model: TrainedModel, dataset: Dataset
) -> None:
    pytest.importorskip({"LightGBM": "lightgbm", "CatBoost": "catboost"}.get(name, "sklearn"))
    found = run_baselines(model, dataset, seconds_each=0.0, fits={name: FITS[name]})
    assert found.models[0].late and found.models[0].auc is not None


@pytest.mark.parametrize("name", list(FITS)[1:])
def test_a_fitting_can_be_cancelled(name: str, model: TrainedModel, dataset: Dataset) -> None:
    pytest.importorskip({"LightGBM": "lightgbm", "CatBoost": "catboost"}.get(name, "sklearn"))
    asked = iter([False, False])
    with pytest.raises(Cancelled):
        run_baselines(
            model,
            dataset,
            fits={name: FITS[name]},
            cancelled=lambda: next(asked, True),
        )


def test_a_library_that_is_absent_is_said_by_name(model: TrainedModel, dataset: Dataset) -> None:
    def absent(data: BaselineData, watch: Watch) -> Fitted:
        raise ModuleNotFoundError("No module named 'lightgbm'")

    found = run_baselines(model, dataset, fits={"LightGBM": absent})
    assert found.models == () and found.missing == {"LightGBM": "pip install lightgbm adds it"}


def test_rows_of_another_dataset_are_refused(model: TrainedModel, dataset: Dataset) -> None:
    config = dataclasses.replace(model.config, dataset_fingerprint="another")
    with pytest.raises(RunError, match="very same parts"):
        baseline_data(dataclasses.replace(model, config=config), dataset)


def test_the_job_leaves_its_result_beside_the_run(
    model: TrainedModel, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models_module, "TREES", 25)
    context = Context(tmp_path, Settings(home=str(tmp_path)), lambda event: None, lambda: False)
    out = tmp_path / BASELINES_FILE
    payload = {"run": str(model.folder), "dataset": str(dataset.folder), "out": str(out)}
    result = baselines_job(payload, context)
    found = read_baselines(out)
    assert found is not None and result == {"verdict": verdict(found)}
    write_baselines(out, found)
    assert read_baselines(out) == found
    with pytest.raises(RunError, match="cannot be written"):
        baselines_job({**payload, "out": str(out / "below")}, context)


# --- the record and its verdict -----------------------------------------------------------------


def judged(name: str, scores: NDArray[Any], own: NDArray[Any], labels: NDArray[Any]) -> Baseline:
    difference = compare_aucs(labels, scores, own)
    assert difference is not None
    loss = log_loss(labels, scores)
    return Baseline(
        name, difference.first, 0.4, 0.9, loss, 0.8, 0.01, len(name) / 2, "", False, difference
    )


def record(*noise: float) -> Baselines:
    """The run's noise, then that of each other model: the less, the better it ranks."""
    rng = np.random.default_rng(0)
    labels = (rng.random(2_000) < 0.3).astype(np.float32)
    signal = 2 * labels - 1.5
    scores = [signal + each * rng.normal(size=2_000) for each in noise]
    itself = judged("DeepFM", scores[0], scores[0], labels)
    others = [
        judged(name, one, scores[0], labels)
        for name, one in zip(("Slow", "Quick!"), scores[1:], strict=False)
    ]
    base = dataclasses.replace(
        judged("Always the base rate", np.full(2_000, -0.847), scores[0], labels), seconds=0.0
    )
    own = dataclasses.replace(itself, difference=None)
    return Baselines(own, "test", 2_000, "", 10, "validation rows", (base, *others), {})


def test_a_better_model_makes_it_not_worth_it() -> None:
    words = verdict(record(1.5, 1.0, 1.4))
    assert words.startswith("On these rows DeepFM is not worth it for the ranking alone: Slow")
    assert "after Holm" in words and "+0." in words


def test_an_equal_model_makes_it_not_worth_it_too() -> None:
    words = verdict(record(1.5, 1.5, 3.0))
    assert "Slow ranks them as well, as far as these rows can tell" in words


def test_a_run_that_beats_all_is_said_to() -> None:
    words = verdict(record(1.0, 2.0, 3.0))
    assert words.startswith("DeepFM ranks these rows better than every other model here.")
    assert "Slow, is behind by +0." in words
    assert words.endswith("Its log loss is the lowest too.")


def test_a_log_loss_worse_than_guessing_is_said() -> None:
    found = record(1.0, 2.0, 3.0)
    wrong = dataclasses.replace(found, own=dataclasses.replace(found.own, log_loss=2.0))
    assert "worse than always guessing the base rate" in verdict(wrong)


def test_rows_of_one_class_rank_nobody() -> None:
    found = record(1.0, 2.0)
    models = tuple(dataclasses.replace(one, auc=None, difference=None) for one in found.models)
    words = verdict(dataclasses.replace(found, models=models))
    assert words.startswith("These rows have one class only")


def test_corrected_p_values_are_holms() -> None:
    found = record(1.0, 1.05, 1.02)
    raw = {one.name: one.difference.p_value for one in found.models if one.difference}
    assert all(found.corrected[name] >= p for name, p in raw.items())


def test_nothing_was_written_is_none(tmp_path: Path) -> None:
    assert read_baselines(tmp_path / BASELINES_FILE) is None


def spoiled(values: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    target: Any = values
    *way, last = path.split(".")
    for step in way:
        target = target[int(step) if step.isdigit() else step]
    target[last] = value
    return values


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("version", 2),
        ("rows", "many"),
        ("models", 3),
        ("models.0.name", 3),
        ("models.0.log_loss", None),
        ("models.1.difference.p_value", "x"),
        ("own.auc", [1]),
        ("missing", []),
        ("missing", {"LightGBM": 3}),
        ("surprise", 1),
        ("own", None),
    ],
)
def test_a_damaged_record_is_one_sentence(tmp_path: Path, path: str, value: object) -> None:
    file = tmp_path / BASELINES_FILE
    write_baselines(file, record(1.0, 2.0))
    values = json.loads(file.read_text())
    file.write_text(json.dumps(spoiled(values, path, value)))
    with pytest.raises(RunError, match="Measure the other models again"):
        read_baselines(file)


def test_a_record_that_is_no_json_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / BASELINES_FILE
    file.write_bytes(b"\xff\x00 nothing")
    with pytest.raises(RunError, match="damaged or foreign"):
        read_baselines(file)


def test_a_large_training_part_is_drawn_from(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, model: TrainedModel
) -> None:
    from deepfm.evaluation.baselines import rows as rows_module

    monkeypatch.setattr(rows_module, "MOST_ROWS", 500)
    data = baseline_data(model, dataset)
    assert len(data.train) == 500 and isinstance(data.train, Rows)


def test_differences_are_read_back_as_numbers(tmp_path: Path) -> None:
    write_baselines(tmp_path / BASELINES_FILE, record(1.0, 2.0))
    found = read_baselines(tmp_path / BASELINES_FILE)
    assert found is not None
    assert isinstance(found.models[0].difference, AucDifference)

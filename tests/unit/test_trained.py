"""A run folder is read whole or refused with a sentence; scores are the model's equations."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from deepfm.config import ModelConfig
from deepfm.data.vocabulary import RARE
from deepfm.errors import RunError, SchemaError
from deepfm.events import Finished, Notice
from deepfm.trained import TrainedModel, open_run
from deepfm.trained.run_folder import FILES
from tests.unit.run_folders import (
    ALL_MODELS,
    RunSpec,
    random_ids,
    random_tensors,
    slow_terms,
    vocabulary_of,
    write_run,
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def use_everything(model: TrainedModel) -> None:
    """Touch every file of the folder."""
    model.events()
    for part in model.parts:
        model.scores(part)
        model.impressions(part)
        model.impression(part, 0)


# --- Scores -----------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", ALL_MODELS.values(), ids=ALL_MODELS)
def test_terms_follow_the_equations(tmp_path: Path, changes: dict[str, Any]) -> None:
    spec = RunSpec(model=ModelConfig(**changes))
    model = open_run(write_run(tmp_path / "run", spec))
    tensors = load_file(tmp_path / "run" / "model.safetensors")
    ids = random_ids(model.vocabulary, 200, seed=9)
    terms = model.score(ids)
    expected = np.array([slow_terms(tensors, spec.model, row) for row in ids])
    np.testing.assert_allclose(np.array(list(terms)).T, expected, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(terms.logit, expected.sum(axis=1), atol=1e-4)
    np.testing.assert_allclose(model.deep(ids), expected[:, 2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("changes", ALL_MODELS.values(), ids=ALL_MODELS)
def test_stored_scores_are_those_of_the_weights(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = open_run(write_run(tmp_path / "run", RunSpec(model=ModelConfig(**changes))))
    for part in model.parts:
        scored, stored = model.score(model.impression_ids(part)), model.scores(part).terms
        np.testing.assert_allclose(list(scored), list(stored), atol=1e-5, rtol=1e-5)


def test_torch_and_numpy_give_the_same_terms(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from deepfm.model import DeepFM

    for changes in ALL_MODELS.values():
        spec = RunSpec(model=ModelConfig(**changes))
        folder = write_run(tmp_path / str(len(list(tmp_path.iterdir()))), spec)
        vocabulary = vocabulary_of(spec)
        network = DeepFM(vocabulary.field_dims, spec.model).eval()
        save_file(
            {name: value.numpy() for name, value in network.weights().items()},
            folder / "model.safetensors",
        )
        ids = random_ids(vocabulary, 50, seed=1)
        with torch.inference_mode():
            expected = [term.numpy() for term in network.terms(torch.from_numpy(ids))]
        np.testing.assert_allclose(list(open_run(folder).score(ids)), expected, atol=1e-6)


def test_a_shared_table_is_one_array(run: Path) -> None:
    weights = open_run(run).weights
    assert weights.factors is weights.deep_table


def test_many_rows_are_scored_as_few_are(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_run(run)
    ids = random_ids(model.vocabulary, 1_000, seed=3)
    at_once = model.score(ids)
    monkeypatch.setattr("deepfm.trained.weights.BLOCK_NUMBERS", 200)
    in_blocks = model.score(ids)
    np.testing.assert_allclose(list(in_blocks), list(at_once), atol=1e-5)
    np.testing.assert_allclose(model.deep(ids), at_once.deep, atol=1e-5)
    assert len(model.score(ids[:0])) == 0


def test_a_million_rows_need_little_memory(run: Path) -> None:
    program = """
import resource, sys
import numpy as np
from deepfm.trained import open_run
from tests.unit.run_folders import random_ids
model = open_run(sys.argv[1])
ids = random_ids(model.vocabulary, 1_000_000, seed=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.score(ids)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(run)], capture_output=True, text=True, check=True
    )
    # All embeddings at once would take 200 MB in float32; the three terms take 24.
    assert float(done.stdout) < 120


def test_one_impression_is_scored_in_under_a_millisecond(run: Path) -> None:
    model = open_run(run)
    ids = random_ids(model.vocabulary, 1, seed=0)
    model.score(ids)
    seconds = []
    for _ in range(50):
        start = time.perf_counter()
        model.score(ids)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.001


def test_ids_of_another_model_are_refused(run: Path) -> None:
    model = open_run(run)
    ids = random_ids(model.vocabulary, 3, seed=0)
    with pytest.raises(RunError, match=r"shape \(3, 4\).*5 fields"):
        model.score(ids[:, :4])
    with pytest.raises(RunError, match=f"{model.vocabulary.num_features} features"):
        model.score(ids + model.vocabulary.num_features)
    with pytest.raises(RunError, match="from -1"):
        model.deep(np.full_like(ids, -1))


# --- Values and rows ----------------------------------------------------------------------------


def test_encode_then_decode_gives_the_values_back(run: Path) -> None:
    model = open_run(run)
    for ids in random_ids(model.vocabulary, 100, seed=4):
        assert model.encode(model.decode(ids)).tolist() == ids.tolist()


def test_an_unseen_value_is_said_to_be_so(run: Path) -> None:
    model = open_run(run)
    impression = model.impression("test", 0)
    ids = model.encode({**impression.fields, "word_1": "<script>"})
    assert model.decode(ids)["word_1"] == RARE
    with pytest.raises(SchemaError, match="colour"):
        model.encode({**impression.fields, "colour": "red"})


def test_an_impression_has_its_raw_row(run: Path) -> None:
    model = open_run(run)
    impression = model.impression("validation", 7)
    assert impression.values["row"] == "file row 7"
    assert impression.values["clicked"] == str(int(impression.label))
    assert list(impression.fields) == [field.name for field in model.fields]
    assert model.encode(impression.fields).tolist() == impression.ids.tolist()
    assert impression.label == model.scores("validation").labels[7]
    assert impression.truth is None
    assert model.impressions("validation").column_names == list(impression.values)
    assert model.impressions("validation").slice(7, 1).to_pylist() == [impression.values]


def test_the_truth_comes_along_where_it_is_known(tmp_path: Path) -> None:
    model = open_run(write_run(tmp_path / "run", RunSpec(truth=True)))
    scores = model.scores()
    assert scores.truth is not None
    np.testing.assert_allclose(scores.truth, scores.terms.probability, atol=1e-5)
    assert model.impression(row=5).truth == pytest.approx(scores.truth[5])


def test_rows_beyond_those_kept_are_refused_with_the_range(tmp_path: Path) -> None:
    model = open_run(write_run(tmp_path / "run", RunSpec(kept=20)))
    assert len(model.scores("test")) == 60
    assert len(model.impressions("test")) == len(model.impression_ids("test")) == 20
    assert model.impression("validation", 19).values["row"] == "file row 19"
    for row in (-1, 20):
        with pytest.raises(RunError, match="rows 0 to 19"):
            model.impression("test", row)


def test_the_part_of_the_figures_comes_first_and_others_are_refused(run: Path) -> None:
    model = open_run(run)
    assert model.parts == ("test", "validation")
    assert model.scores().part == model.part == "test"
    with pytest.raises(RunError, match="'train', only test, validation"):
        model.scores("train")


def test_a_run_tells_what_it_is(run: Path) -> None:
    model = open_run(str(run))
    assert (model.folder, model.dataset_name, model.dataset_fingerprint) == (
        run,
        "Small words",
        "abc123",
    )
    assert model.model.name == "DeepFM"
    assert model.train.epochs == 30
    assert isinstance(model.result, Finished)
    assert isinstance(model.events()[0], Notice) and model.events()[-1] == model.result
    assert model.schema.label.name == "clicked"
    assert model.encode(model.pinned[0]).shape == (5,)
    assert model.reference.name == "40 training rows drawn at random"
    np.testing.assert_allclose(
        model.reference.base, model.score(model.reference_ids).logit.mean(), atol=1e-5
    )


def test_a_copy_elsewhere_is_the_same_run(run: Path, tmp_path: Path) -> None:
    before = open_run(run).scores()
    shutil.move(run, tmp_path / "elsewhere")
    after = open_run(tmp_path / "elsewhere").scores()
    np.testing.assert_array_equal(before.terms.logit, after.terms.logit)


# --- Missing, damaged, foreign ------------------------------------------------------------------


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="There is no run folder"):
        open_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"is not a run folder: config.json is missing"):
        open_run(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(RunError, match=name.replace(".", r"\.")):
        open_run(run)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["empty", "half", "noise", "text", "list"])
def test_a_damaged_file_is_named(run: Path, name: str, damage: str) -> None:
    path = run / name
    content = path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, 3_000, dtype=np.uint8).tobytes()
    damaged = {
        "empty": b"",
        "half": content[: len(content) // 2],
        "noise": noise,
        "text": b"=HYPERLINK(1)\n",
        "list": b"[1, 2]\n",
    }[damage]
    path.write_bytes(damaged)
    if name == "metrics.jsonl" and damage == "empty":
        use_everything(open_run(run))
        return
    with pytest.raises(RunError, match=name.replace(".", r"\.")) as caught:
        use_everything(open_run(run))
    assert "again" in str(caught.value)


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith((".json", ".jsonl"))])
def test_a_file_of_another_run_is_named(run: Path, tmp_path: Path, name: str) -> None:
    other = write_run(
        tmp_path / "other",
        RunSpec(
            model=ModelConfig(num_factors=6, mlp_dims=(5, 4)),
            categorical=(9, 8, 7),
            rows={"test": 11, "validation": 12},
        ),
    )
    shutil.copy(other / name, run / name)
    if name == "scores.parquet":
        # Its rows could be any model's; only their number can be wrong.
        assert len(open_run(run).scores()) == 11
        return
    with pytest.raises(RunError, match=r"\.(parquet|safetensors|npy) in the run folder"):
        use_everything(open_run(run))


def test_any_flipped_bytes_are_survived(run: Path) -> None:
    """A damaged file is a RunError or goes unnoticed, but never another error or a crash."""
    rng = np.random.default_rng(1)
    for name in FILES:
        content = (run / name).read_bytes()
        for _ in range(12):
            damaged = bytearray(content)
            for place in rng.integers(0, len(content), 4):
                damaged[place] = rng.integers(0, 256)
            (run / name).write_bytes(damaged)
            try:
                use_everything(open_run(run))
            except RunError as error:
                assert str(run) in str(error)
        (run / name).write_bytes(content)


def change_config(run: Path, **changes: Any) -> None:
    path = run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_run_of_a_newer_version_is_refused(run: Path) -> None:
    change_config(run, version=2)
    with pytest.raises(RunError, match=r"newer version.*Update the program"):
        open_run(run)
    change_config(run, version="one")
    with pytest.raises(RunError, match=r"config\.json.*version"):
        open_run(run)


def test_an_unknown_setting_is_refused(run: Path) -> None:
    change_config(run, model={"num_factors": 10, "colour": "red"})
    with pytest.raises(RunError, match=r"config\.json.*colour"):
        open_run(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mlp_dims": [30, 20]}, "mlp.3"),
        ({"mlp_dims": [30, 20, 11]}, "mlp.2.weight"),
        ({"num_factors": 9}, "factors.table"),
        ({"terms": ["linear", "pairwise"]}, "mlp.0"),
        ({"shared_embedding": False}, "deep.table"),
    ],
)
def test_tensors_that_do_not_fit_the_configuration_are_named(
    run: Path, change: dict[str, Any], message: str
) -> None:
    change_config(run, model={**json.loads((run / "config.json").read_text())["model"], **change})
    with pytest.raises(RunError, match=f"model.safetensors.*{message}"):
        open_run(run)


def test_weights_of_a_diverged_training_are_refused_in_words(run: Path) -> None:
    spec = RunSpec()
    tensors = random_tensors(vocabulary_of(spec), spec.model, 1.0, 0)
    tensors["factors.table"][3, 1] = np.nan
    save_file(tensors, run / "model.safetensors")
    with pytest.raises(RunError, match=r"factors.table.*diverged"):
        open_run(run)
    tensors["factors.table"] = np.zeros_like(tensors["factors.table"], dtype=np.float64)
    save_file(tensors, run / "model.safetensors")
    with pytest.raises(RunError, match=r"factors.table is float64"):
        open_run(run)


def test_an_index_outside_its_field_is_refused(run: Path) -> None:
    ids = np.load(run / "reference.npy")
    np.save(run / "reference.npy", ids[:, ::-1].copy())
    with pytest.raises(RunError, match=r"reference\.npy.*outside its field"):
        open_run(run)
    np.save(run / "reference.npy", ids[:0])
    with pytest.raises(RunError, match=r"reference\.npy.*no rows"):
        open_run(run)
    np.save(run / "reference.npy", ids.astype(object), allow_pickle=True)
    with pytest.raises(RunError, match=r"reference\.npy"):
        open_run(run)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("deep", np.nan, "deep holds values that are not numbers"),
        ("linear", np.inf, "linear holds values that are not numbers"),
        ("label", 2.0, "neither 0 nor 1"),
        ("row", 5, "do not count from 0"),
        ("part", "other", "its parts are"),
    ],
)
def test_scores_that_no_training_writes_are_refused(
    run: Path, column: str, value: Any, message: str
) -> None:
    table = pq.read_table(run / "scores.parquet")
    cells = table[column].to_pylist()
    cells[3] = value
    place = table.column_names.index(column)
    changed = table.set_column(place, column, pa.array(cells, table.schema.field(column).type))
    pq.write_table(changed, run / "scores.parquet")
    with pytest.raises(RunError, match=rf"scores\.parquet.*{message}"):
        open_run(run).scores()


def test_opening_costs_no_torch_and_no_scikit_learn(run: Path) -> None:
    program = (
        "import sys\nfrom deepfm.trained import open_run\nimport deepfm.evaluation, "
        "deepfm.explanation\nmodel = open_run(sys.argv[1])\ndeepfm.evaluation.evaluate(model)\n"
        "deepfm.explanation.explain(model, row=0, permutations=5)\n"
        "print(sorted({'torch', 'sklearn', 'streamlit', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(run)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

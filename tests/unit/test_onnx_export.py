"""The ONNX file computes what the run computes, for every term set, and says what it is."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from deepfm import onnx_export
from deepfm.cli import main
from deepfm.config import ModelConfig
from deepfm.errors import ConfigError, DataError, RunError
from deepfm.onnx_export import OUTPUTS, export_onnx, onnx_model
from deepfm.trained import TrainedModel, open_run
from tests.unit.run_folders import ALL_MODELS, RunSpec, random_ids, slow_terms, write_run


def open_model(folder: Path, **changes: object) -> TrainedModel:
    settings = {"num_factors": 4, "mlp_dims": (6, 5), **changes}
    return open_run(write_run(folder, RunSpec(model=ModelConfig(**settings))))


def outputs_of(file: Path, ids: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return dict(zip(OUTPUTS, session.run(OUTPUTS, {"ids": ids}), strict=True))


@pytest.mark.parametrize("name", ALL_MODELS)
@pytest.mark.parametrize("ids", ["int32", "int64"])
def test_outputs_are_those_of_a_slower_writing_of_the_model(name, ids, tmp_path):
    model = open_model(tmp_path / "run", **ALL_MODELS[name])
    done = export_onnx(model, tmp_path / "model.onnx", ids)
    rows = random_ids(model.vocabulary, 40, seed=9)
    terms = np.array([slow_terms(model.files.tensors(), model.model, row) for row in rows])
    found = outputs_of(done.files[0], rows.astype(ids))
    for i, term in enumerate(("linear", "pairwise", "deep")):
        assert found[term].dtype == np.float32
        np.testing.assert_allclose(found[term], terms[:, i], atol=2e-5)
    logit = terms.sum(axis=1)
    np.testing.assert_allclose(found["logit"], logit, atol=2e-5)
    np.testing.assert_allclose(found["probability"], 1 / (1 + np.exp(-logit)), atol=1e-5)


def test_it_is_checked_on_every_row_that_the_run_keeps(tmp_path):
    model = open_model(tmp_path / "run")
    done = export_onnx(model, tmp_path / "model.onnx")
    assert done.checked_rows == len(model.reference_ids) + 60 + 50 + 1
    assert done.largest_difference is not None and 0 <= done.largest_difference < 1e-4


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_any_number_of_rows_is_scored(rows, tmp_path):
    model = open_model(tmp_path / "run", terms=("linear",))
    deep = open_model(tmp_path / "deep")
    for each in (model, deep):
        file = export_onnx(each, tmp_path / "model.onnx").files[0]
        ids = random_ids(each.vocabulary, rows, seed=1).astype(np.int64)
        assert {len(values) for values in outputs_of(file, ids).values()} == {rows}


def test_the_file_says_which_fields_it_reads(tmp_path):
    model = open_model(tmp_path / "run")
    file = export_onnx(model, tmp_path / "model.onnx").files[0]
    properties = {each.key: each.value for each in onnx.load(file).metadata_props}
    assert json.loads(properties["fields"]) == [
        {"name": f.name, "role": f.role, "offset": f.offset, "size": f.size} for f in model.fields
    ]
    assert json.loads(properties["config"]) == json.loads(json.dumps(model.model.to_dict()))


def test_large_arrays_stand_in_a_file_beside_the_graph(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "LARGEST_FILE", 100)
    model = open_model(tmp_path / "run", num_factors=40)
    done = export_onnx(model, tmp_path / "model.onnx")
    assert [file.name for file in done.files] == ["model.onnx", "model.onnx.data"]
    assert done.largest_difference is not None
    rows = random_ids(model.vocabulary, 5, seed=2).astype(np.int64)
    np.testing.assert_allclose(
        outputs_of(done.files[0], rows)["logit"],
        model.score(rows.astype(np.int32)).logit,
        atol=1e-4,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.onnx",
        "model.onnx.data",
        "run",
    ]


@pytest.mark.parametrize("wrong", [0.01, np.nan])
def test_a_graph_that_computes_something_else_is_not_kept(wrong, tmp_path, monkeypatch):
    model = open_model(tmp_path / "run")
    right = onnx_export._own
    monkeypatch.setattr(onnx_export, "_own", lambda *given: right(*given) + wrong)
    with pytest.raises(RunError, match="from the run's own"):
        export_onnx(model, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_without_onnx_the_message_says_what_to_install(tmp_path, monkeypatch):
    model = open_model(tmp_path / "run")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install onnx onnxruntime"):
        onnx_model(model)


def test_without_onnxruntime_it_is_written_and_said_to_be_unchecked(tmp_path, monkeypatch, capsys):
    open_model(tmp_path / "run")
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else there(name)
    )
    assert main(["export-onnx", str(tmp_path / "run"), "--out", str(tmp_path / "m.onnx")]) == 0
    captured = capsys.readouterr()
    answer = json.loads(captured.out.splitlines()[-1])
    assert (answer["checked_rows"], answer["largest_difference"]) == (0, None)
    assert "onnxruntime" in captured.err


def test_the_command_says_what_it_wrote(tmp_path, capsys):
    model = open_model(tmp_path / "run", terms=("linear", "pairwise"))
    arguments = ["export-onnx", str(tmp_path / "run"), "--out", str(tmp_path / "m.onnx")]
    assert main([*arguments, "--ids", "int32"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["files"] == [str(tmp_path / "m.onnx")]
    assert answer["inputs"] == {"ids": ["int32", "N", len(model.fields)]}
    assert answer["outputs"] == list(OUTPUTS)
    assert answer["bytes"] == (tmp_path / "m.onnx").stat().st_size
    assert answer["largest_difference"] < 1e-4


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path):
    model = open_model(tmp_path / "run")
    with pytest.raises(DataError, match="cannot be written"):
        export_onnx(model, tmp_path / "nowhere" / "model.onnx")
    with pytest.raises(ConfigError, match="int32 or int64"):
        export_onnx(model, tmp_path / "model.onnx", "int8")


def test_writing_onnx_loads_no_torch(tmp_path):
    write_run(tmp_path / "run")
    code = (
        "import sys, deepfm.onnx_export, deepfm.trained as trained; "
        f"model = trained.open_run({str(tmp_path / 'run')!r}); "
        f"deepfm.onnx_export.export_onnx(model, {str(tmp_path / 'm.onnx')!r}); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])

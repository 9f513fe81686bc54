"""Runs from the command line: repeated, joined, taken out as a file and in again."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from deepfm import cli
from deepfm.data.dataset import open_dataset
from deepfm.runs.store import Store
from deepfm.runs.worker.jobs import train as train_run
from deepfm.runs.worker.table import Context
from deepfm.trained import open_run
from deepfm.versions import versions
from tests.unit.test_cli import write_clicks

FAST = ("--epochs", "2", "--batch-size", "64", "--mlp-dims", "4", "--num-factors", "3")
Call = Callable[..., Any]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPFM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("deepfm.runs.worker.ensure_worker", lambda home: None)
    return tmp_path / "home"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a verb that must succeed; its last line as JSON, and what it said beside it."""

    def run(*arguments: object) -> Any:
        assert cli.main([str(argument) for argument in arguments]) == 0, capsys.readouterr().err
        captured = capsys.readouterr()
        call.said = captured.err  # type: ignore[attr-defined]
        return json.loads(captured.out.splitlines()[-1])

    call: Call = run
    return call


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a verb that must be refused; its one line on stderr."""

    def run(*arguments: object) -> str:
        assert cli.main([str(argument) for argument in arguments]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        return lines[0]

    return run


def work_off(home: Path) -> None:
    """Train all that is queued, as the worker does, in this process."""
    with Store.open(home) as store:
        while run := store.claim_run("test", versions()):
            context = Context(home, store._settings, lambda _: None, lambda: False, 0)
            result = train_run(run, context)
            store.finish_run(run.id, "finished", result=result)


def settings_of(folder: Path) -> dict[str, Any]:
    model = open_run(folder)
    return {**model.model.to_dict(), **model.train.to_dict()}


OWN = ("--seed", 7, "--separate-embedding", "--activation", "tanh", "--drop-last", "yes")


def test_train_like_a_run_folder_takes_its_dataset_all_settings_and_its_seed(
    call: Call, tmp_path: Path
) -> None:
    first = call("train", write_clicks(tmp_path / "a.csv"), "--out", tmp_path / "r", *FAST, *OWN)
    again = call("train", "--like", tmp_path / "r", "--out", tmp_path / "again")
    assert settings_of(tmp_path / "again") == settings_of(tmp_path / "r")
    assert (again["auc"], again["log_loss"]) == (first["auc"], first["log_loss"])
    scores = [(tmp_path / name / "scores.parquet").read_bytes() for name in ("r", "again")]
    assert scores[0] == scores[1], "to the last digit"
    call(
        *("train", "--like", tmp_path / "r", "--out", tmp_path / "other", "--seed", 8),
        *("--no-separate-embedding", "--drop-last", "no"),
    )
    changed = {"seed": 8, "shared_embedding": True, "drop_last": False}
    assert settings_of(tmp_path / "other") == {**settings_of(tmp_path / "r"), **changed}


def test_like_takes_the_id_of_a_run_and_what_is_given_wins(
    call: Call, home: Path, tmp_path: Path
) -> None:
    data = write_clicks(tmp_path / "a.csv")
    run = call("submit", data, *FAST, *OWN)["run"]
    assert call("submit", "--like", run) == {"run": run, "joined": True}
    assert call("submit", "--like", run, "--seed", 9)["joined"] is False
    other = call("prepare", write_clicks(tmp_path / "b.csv", seed=3), "--out", tmp_path / "d")
    elsewhere = call("submit", other["dataset"], "--like", run)["run"]
    with Store.open(home) as store:
        rows = {row.id: row for row in store.runs()}
    assert rows[elsewhere].train == rows[run].train and rows[elsewhere].model == rows[run].model
    assert rows[elsewhere].fingerprint == open_dataset(tmp_path / "d").fingerprint
    preset = call("submit", data, "--like", run, "--preset", "quick")["run"]
    with Store.open(home) as store:
        assert store.run(preset).train["epochs"] == 20 and store.run(preset).train["seed"] == 7


def test_a_run_whose_dataset_is_gone_or_another_is_told(
    call: Call, refuse: Callable[..., str], home: Path, tmp_path: Path
) -> None:
    data = write_clicks(tmp_path / "a.csv")
    run = call("submit", data, *FAST)["run"]
    with Store.open(home) as store:
        folder = store.run(run).dataset_folder
    shutil.rmtree(folder)
    line = refuse("submit", "--like", run)
    assert "“a.csv” of run" in line and "is no longer at" in line and "--like" in line
    call("prepare", write_clicks(tmp_path / "b.csv", seed=4), "--out", folder)
    assert "is not the one that run" in refuse("train", "--like", run)
    assert "There is no run folder" in refuse("train", "--like", tmp_path / "none")
    assert "is not the id" in refuse("train", "--like", "none")
    assert "There is no run" in refuse("train", "--like", "0123456789abc")
    assert "or a run to follow: --like RUN" in refuse("train")


def test_submit_joins_the_same_run_and_anew_trains_it_again(call: Call, tmp_path: Path) -> None:
    data = write_clicks(tmp_path / "a.csv")
    first = call("submit", data, *FAST)
    assert first["joined"] is False
    assert call("submit", data, *FAST) == {"run": first["run"], "joined": True}
    assert "the same run is there already (queued)" in call.said  # type: ignore[attr-defined]
    anew = call("submit", data, *FAST, "--anew")
    assert anew["joined"] is False and anew["run"] != first["run"]


def test_what_is_needed_to_repeat_a_run_is_kept(call: Call, home: Path, tmp_path: Path) -> None:
    run = call("submit", write_clicks(tmp_path / "a.csv"), *FAST)["run"]
    work_off(home)
    with Store.open(home) as store:
        row = store.run(run)
    assert row.owner.startswith("shell:") and row.owner_name == row.owner.removeprefix("shell:")
    assert row.fingerprint and row.train["seed"] == 0 and len(row.pinned) == 3
    assert row.versions is not None and row.versions["packages"]["torch"] == torch.__version__
    assert row.seconds is not None and row.examples_per_second is not None
    assert (row.seconds > 0, row.examples_per_second > 0) == (True, True)


def test_a_run_goes_out_as_one_file_and_comes_in_elsewhere(
    call: Call, refuse: Callable[..., str], home: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run = call("submit", write_clicks(tmp_path / "a.csv"), *FAST, "--name", "mine")["run"]
    assert "only one that has ended" in refuse("export", run, "--out", tmp_path / "run.zip")
    work_off(home)
    out = call("export", run, "--out", tmp_path / "run.zip")
    assert out["file"] == str(tmp_path / "run.zip") and out["bytes"] > 1_000
    monkeypatch.setenv("DEEPFM_HOME", str(tmp_path / "elsewhere"))
    taken = call("import", tmp_path / "run.zip")
    assert (taken["imported"], taken["state"], taken["name"]) == (run, "finished", "mine")
    assert taken["run"] != run
    folder = tmp_path / "elsewhere" / "runs" / taken["run"]
    model = open_run(folder)
    assert model.result == open_run(home / "runs" / run).result
    assert call("evaluate", folder)["auc"] == call("evaluate", home / "runs" / run)["auc"]
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04 not a zip")
    assert "is no exported run" in refuse("import", tmp_path / "no.zip")
    assert "There is no file" in refuse("import", tmp_path / "none.zip")

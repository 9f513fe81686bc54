"""`python -m deepfm sweep`: what is typed, what is queued, what is printed at the end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepfm import cli
from deepfm.runs.store import Store
from deepfm.runs.worker import stop_worker
from tests.unit.sweeps_in_store import train_all, write_clicks

Call = Callable[..., Any]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPFM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepfm.runs.worker.ensure_worker", lambda home: None)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a verb that must succeed; its last line as JSON, and what stderr said."""

    def run(*arguments: object) -> tuple[Any, str]:
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return json.loads(captured.out.splitlines()[-1]), captured.err

    return run


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a verb that must be refused; its one line on stderr."""

    def run(*arguments: object) -> str:
        assert cli.main([str(argument) for argument in arguments]) == 2
        captured = capsys.readouterr()
        lines = captured.err.strip().splitlines()
        assert captured.out == "" and len(lines) == 1, captured.err
        return lines[0]

    return run


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    return write_clicks(tmp_path / "clicks.tsv")


def test_a_sweep_is_followed_to_its_end_by_a_real_worker(call, clicks, home):
    try:
        printed, said = call(
            *("sweep", clicks, "--set", "num_factors=2,4", "--set", "min_count=1,4"),
            *("--seeds", 1, "--epochs", 1, "--batch-size", 128, "--mlp-dims", 8),
        )
    finally:
        stop_worker(home)
    assert printed["runs"] == 4
    assert "4 of 4: " in said and "validation AUC" in said
    settings = [
        (each["settings"]["num_factors"], each["settings"]["min_count"])
        for each in printed["configurations"]
    ]
    assert sorted(settings) == [(2, 1), (2, 4), (4, 1), (4, 4)]
    aucs = [each["validation_auc"] for each in printed["configurations"]]
    assert aucs == sorted(aucs, reverse=True)
    assert printed["best"]["settings"] == printed["configurations"][0]["settings"]
    assert printed["best"]["run"] in printed["configurations"][0]["runs"]
    assert not printed["winner"] and "take more seeds" in printed["verdict"]


def test_detached_it_returns_at_once_with_what_was_queued(call, clicks, home, no_worker):
    printed, _ = call(
        *("sweep", clicks, "--study", "shape", "--seed", 5, "--seeds", 2, "--epochs", 1),
        *("--detach", "--name", "my shapes"),
    )
    with Store.open(home) as store:
        group = store.group(printed["sweep"])
        runs = [store.run(run_id) for run_id in group.runs]
    assert (printed["runs"], printed["queued"], group.name) == (8, 8, "my shapes")
    assert {run.train["seed"] for run in runs} == {5, 6}
    assert len({tuple(run.model["mlp_dims"]) for run in runs}) == 4
    assert {sum(run.model["mlp_dims"]) for run in runs} == {96}


def test_what_is_there_is_not_queued_again(call, clicks, home, no_worker):
    command = ("sweep", clicks, "--set", "num_factors=2,4", "--seeds", 1, "--detach")
    call(*command)
    with Store.open(home) as store:
        train_all(store, lambda run: 0.7)
    assert call(*command)[0]["queued"] == 0


def test_a_sweep_of_a_dataset_folder_and_of_ranges(call, clicks, home, no_worker):
    call("prepare", clicks, "--out", home / "data")
    printed, _ = call(
        *("sweep", home / "data", "--set", "learning-rate=0.001..0.1", "--sampler", "random"),
        *("--trials", 4, "--seeds", 1, "--objective", "log_loss", "--detach"),
    )
    with Store.open(home) as store:
        rates = [run.train["learning_rate"] for run in store.runs()]
        spec = store.group(printed["sweep"]).spec
    assert len(set(rates)) == 4 and all(0.001 <= rate <= 0.1 for rate in rates)
    assert spec["sweep"]["objective"] == "log_loss"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "What is to be swept? Give --set SETTING=VALUES or --study NAME (activation"),
        (("--set", "num_factors"), "--set 'num_factors' has no values"),
        (("--set", "num_factors=4,0"), "Factor size is 0. It must be at least 1"),
        (("--set", "factors=4"), "There is no setting 'factors' to sweep"),
        (("--set", "seed=1,2"), "Seeds are not swept"),
        (("--set", "num_factors=4..8"), "Choose the sampler random or tpe"),
        (("--set", "num_factors=2,4", "--trials", "3"), "trials are for random and tpe"),
        (("--set", "num_factors=2,4", "--seeds", "0"), "Give 1 to 20 different seeds"),
        (("--set", "num_factors=2,4", "--validation", "0"), "holds out no validation rows"),
        (("--study", "shape", "--terms", "FM"), "of the network, which FM does not have"),
        (("--study", "shapes"), "invalid choice: 'shapes'"),
        (("--set", "num_factors=2,4", "--sampler", "x"), "invalid choice: 'x'"),
        (
            (
                "--set",
                "drop_rate=" + ",".join(f"{i / 200}" for i in range(150)),
            ),
            "450 runs",
        ),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_queued(refuse, clicks, home, no_worker, flags, words):
    assert words in refuse("sweep", clicks, *flags)
    if home.exists():
        with Store.open(home) as store:
            assert store.runs() == [] and store.groups() == []


def test_when_every_run_fails_the_command_fails_with_the_cause(clicks, monkeypatch, capsys):
    def worker(home):
        with Store.open(home) as store:
            train_all(store, lambda run: None)

    monkeypatch.setattr("deepfm.runs.worker.ensure_worker", worker)
    arguments = ["sweep", str(clicks), "--set", "num_factors=2,4", "--seeds", "1"]
    assert cli.main(arguments) == 2
    assert "No run of this sweep was trained. as asked" in capsys.readouterr().err

"""The command line: one JSON object as the last line, mistakes in one line with exit code 2."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deepfm import cli
from deepfm.data.synthetic import write_d2l_form, write_d2l_zip
from deepfm.runs.store import Store
from deepfm.trained import open_run

Call = Callable[..., Any]
FAST = ("--epochs", "2", "--batch-size", "256")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEEPFM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a verb that must succeed; returns its last line as JSON."""

    def run(*arguments: object) -> Any:
        assert cli.main([str(argument) for argument in arguments]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a verb that must be refused; returns its one line on stderr."""

    def run(*arguments: object) -> str:
        assert cli.main([str(argument) for argument in arguments]) == 2
        captured = capsys.readouterr()
        lines = captured.err.strip().splitlines()
        assert captured.out == ""
        assert len(lines) == 1, captured.err
        return lines[0]

    return run


def write_clicks(path: Path, rows: int = 600, label: str = "clicked", seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([label, "site", "device", "price"])
        for _ in range(rows):
            site, device = rng.choice(["news", "sport"]), rng.choice(["phone", "tv"])
            clicked = rng.random() < (0.7 if (site == "news") == (device == "tv") else 0.2)
            writer.writerow([int(clicked), site, device, f"{rng.gamma(2, 10):.2f}"])
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPFM_HOME", str(folder / "home"))
        data, test = write_clicks(folder / "a.csv"), write_clicks(folder / "b.csv", 200, seed=1)
        arguments = ["train", data, "--test", test, "--out", folder / "run", *FAST]
        assert cli.main([str(argument) for argument in arguments]) == 0
    return folder / "run"


def test_json_lines_go_all_the_way_to_scores(call, refuse, tmp_path):
    rows = [{"clicked": n % 2, "device": {"os": "abc"[n % 3]}, "n": n % 5} for n in range(400)]
    path, later = tmp_path / "clicks.jsonl", tmp_path / "later.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    later.write_text(json.dumps([{"device": {"os": "a"}}, {"n": 3}]))
    call("train", path, *FAST, "--out", tmp_path / "run")
    call("predict", tmp_path / "run", later, "--out", tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open() as file:
        scored = list(csv.DictReader(file))
    assert [row["device.os"] for row in scored] == ["a", ""]
    assert all(0 < float(row["probability"]) < 1 for row in scored)
    explained = call("explain", tmp_path / "run", "--row", 1, "--data", later)
    assert set(explained["linear"]) == {"device.os", "n"}
    later.write_text('[{"device": {"os": "a"}}, {"n"')
    said = refuse("predict", tmp_path / "run", later, "--out", tmp_path / "other.csv")
    assert "JSON array that is damaged or cut off on line 1" in said


def test_inspect_reads_a_file_as_it_is_told_to(call, refuse, tmp_path):
    rows = "".join(f"{n % 2};Łódź,{n};Kraków\n" for n in range(40))
    path = tmp_path / "clicks.csv"
    path.write_bytes(f"clicked;city,x;other\n{rows}".encode("cp1250"))
    told = call("inspect", path, "--encoding", "windows-1251", "--separator", "comma")
    format = told["schema"]["format"]
    assert (format["encoding"], format["separator"]) == ("windows-1251", ",")
    assert len(told["schema"]["columns"]) == 2
    right = call("inspect", path, "--encoding", "windows-1250", "--separator", ";")
    assert right["rows"][0] == ["0", "Łódź,0", "Kraków"]
    (tmp_path / "schema.json").write_text(json.dumps(right["schema"]))
    (tmp_path / "printed.json").write_text(json.dumps(right))
    for name in ("schema", "printed"):
        schema, out = tmp_path / f"{name}.json", tmp_path / name
        assert call("prepare", path, "--schema", schema, "--out", out)["label"] == "clicked"
    said = refuse("inspect", path, "--separator", "dots")
    assert "give one of tab, comma" in said
    assert "choose one of 'utf-8'" in refuse("inspect", path, "--encoding", "dots")


def test_inspect_says_what_was_understood(call, tmp_path):
    seen = call("inspect", write_clicks(tmp_path / "clicks.csv"))
    roles = {column["name"]: column["role"] for column in seen["columns"]}
    assert roles == {
        "clicked": "label",
        "site": "categorical",
        "device": "categorical",
        "price": "numeric",
    }
    assert all(column["reason"] for column in seen["columns"])


def test_prepare_then_train_then_evaluate(call, tmp_path):
    prepared = call(
        "prepare", write_clicks(tmp_path / "a.csv"), "--out", tmp_path / "data", "--min-count", 2
    )
    assert prepared["parts"]["train"]["rows"] + prepared["parts"]["validation"]["rows"] == 600
    trained = call("train", tmp_path / "data", "--out", tmp_path / "run", *FAST)
    assert trained["part"] == "validation"
    wanted = "part auc log_loss log_loss_calibrated accuracy base_rate examples_per_second rows"
    assert set(wanted.split()) | {"skipped_rows", "epochs"} <= set(trained)
    evaluated = call("evaluate", tmp_path / "run")
    assert set(wanted.split()) | {"skipped_rows", "epochs"} <= set(evaluated)
    assert evaluated["auc"] == pytest.approx(trained["auc"], abs=1e-6)
    assert set(evaluated["branches"]["deep"]) == {"auc", "log_loss"}


def test_the_preset_d2l_runs_in_full_on_a_set_of_its_form(call, tmp_path, capsys):
    write_d2l_form(tmp_path)
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    assert cli.main(["train", str(train), "--test", str(test), "--preset", "d2l"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out.splitlines()[-1])
    assert (result["epochs"], result["rows"], result["part"]) == (30, 3_000, "test")
    epochs = [line for line in captured.err.splitlines() if line.startswith("epoch ")]
    assert len(epochs) == 30
    for line in epochs:
        assert "train loss" in line and "test loss" in line and line.count("accuracy") == 2


def test_the_decks_zip_is_taken_as_it_is(call, tmp_path):
    write_d2l_zip(tmp_path / "ctr.zip")
    prepared = call("prepare", tmp_path / "ctr.zip", "--out", tmp_path / "data", "--preset", "d2l")
    assert {name: part["rows"] for name, part in prepared["parts"].items()} == {
        "train": 15_000,
        "test": 3_000,
    }
    assert prepared["fields"] == 34


def test_flags_win_over_the_preset(call, tmp_path):
    data = write_clicks(tmp_path / "a.csv")
    call("train", data, "--preset", "real-data", "--num-factors", 3, "--out", tmp_path / "r", *FAST)
    model = open_run(tmp_path / "r")
    assert model.model.num_factors == 3
    assert model.model.embedding_drop_rate == 0.2
    assert model.train.epochs == 2


def test_every_setting_reaches_the_run(call, tmp_path):
    data = write_clicks(tmp_path / "a.csv")
    call(
        *("train", data, "--out", tmp_path / "run", "--terms", "linear,deep"),
        *("--separate-embedding", "--activation", "tanh", "--mlp-dims", "7-5", "--seed", 3),
        *("--embedding-l2", "0.01", "--monitor", "log_loss", "--drop-last", *FAST),
    )
    model = open_run(tmp_path / "run")
    assert model.model.name == "Wide & Deep"
    assert (model.model.mlp_dims, model.model.activation) == ((7, 5), "tanh")
    assert not model.model.shared_embedding
    assert (model.train.seed, model.train.embedding_l2, model.train.drop_last) == (3, 0.01, True)


def test_evaluate_on_another_file_with_a_label_of_its_own_form(call, trained, tmp_path):
    result = call("evaluate", trained, "--data", write_clicks(tmp_path / "c.csv", 300, seed=5))
    assert result["rows"] == 300
    assert 0.5 < result["auc"] <= 1


def test_predict_adds_the_terms_to_every_row(call, trained, tmp_path):
    rows = "site,device,price\nnews,tv,3.5\nnever seen,phone,\n=1+1,tv,-5\n"
    (tmp_path / "new.csv").write_text(rows)
    call("predict", trained, tmp_path / "new.csv", "--out", tmp_path / "scores.csv")
    with (tmp_path / "scores.csv").open(newline="") as file:
        scored = list(csv.DictReader(file))
    assert [row["site"] for row in scored] == ["news", "never seen", "'=1+1"]
    assert scored[2]["price"] == "-5"
    for row in scored:
        parts = [float(row[name]) for name in ("linear", "pairwise", "deep")]
        assert sum(parts) == pytest.approx(float(row["logit"]), abs=1e-4)
        assert float(row["probability"]) == pytest.approx(
            1 / (1 + np.exp(-float(row["logit"]))), abs=1e-6
        )


def test_explain_adds_up(call, trained):
    why = call("explain", trained, "--row", 3, "--permutations", 20)
    fm = sum(why["linear"].values()) + sum(why["pairwise"].values())
    assert why["base"] + fm + why["deep"] == pytest.approx(why["logit"], abs=1e-4)
    assert sum(why["deep_by_field"].values()) == pytest.approx(why["deep"], abs=1e-5)
    assert set(why["deep_standard_error"]) == {"site", "device", "price"}
    assert why["seconds"] > 0


def test_explain_counts_rows_of_a_given_file(call, trained, tmp_path):
    rows = "site,device,price\nnews,tv,3.5\nsport,phone,7\n"
    (tmp_path / "new.csv").write_text(rows)
    why = call("explain", trained, "--row", 1, "--data", tmp_path / "new.csv")
    assert why["values"]["site"] == "sport"


def test_submit_queues_and_runs_lists_and_stop_asks(call, home, tmp_path, monkeypatch):
    monkeypatch.setattr("deepfm.runs.worker.ensure_worker", lambda home: None)
    queued = call("submit", write_clicks(tmp_path / "a.csv"), "--terms", "FM", "--name", "mine")
    listed = call("runs")
    assert listed == [
        {"run": queued["run"], "state": "queued", "name": "mine", "epoch": 0, "auc": None}
    ]
    call("stop", queued["run"])
    with Store.open(home) as store:
        assert store.run(queued["run"]).state == "stopped"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--learning-rate", "0"), "Learning rate is 0.0. It must be above 0"),
        (("--learning-rate", "-0.1"), "Learning rate is -0.1"),
        (("--learning-rate", "nan"), "Learning rate is nan"),
        (("--learning-rate", "fast"), "Learning rate: 'fast' is not a number"),
        (("--mlp-dims", "30,,10"), "MLP dims: '30,,10' is not a list of whole numbers"),
        (("--epochs", "1000000000"), "at most 10,000"),
        (("--num-factors", "100000"), "at most 1,024"),
        (("--terms", "deep,deep"), "are not one of the five models"),
        (("--split", "time"), "write random, time:COLUMN or group:COLUMN"),
        (("--no-such-flag",), "unrecognized arguments: --no-such-flag"),
    ],
)
def test_a_setting_out_of_bounds_is_one_line(refuse, tmp_path, flags, words):
    assert words in refuse("train", write_clicks(tmp_path / "a.csv"), *flags)


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x00" * 5_000, ""),
        (bytes(range(256)) * 40, ""),
        (b"\x1f\x8b\x08\x00damaged", ""),
        (b"clicked,site\n" + b"1,a\n0,b\n2,c\n" * 100, "clicked"),
        (b"clicked,site\n" + b"1,a\n" * 100, ""),
    ],
    ids=["empty", "zeros", "random", "gzip", "three labels", "one class"],
)
def test_a_file_that_cannot_be_trained_on_is_one_line(refuse, tmp_path, content, words):
    line = refuse("train", _write(tmp_path / "a.csv", content))
    assert words in line
    assert len(line) > 30, "it says what to do"
    assert not list((tmp_path / "home").rglob("*.writing"))


def test_mistakes_of_place_are_one_line(refuse, trained, tmp_path):
    assert "missing.csv" in refuse("train", tmp_path / "missing.csv")
    assert "There is no run" in refuse("stop", "0123456789abc")
    assert "is not the id of a run" in refuse("stop", "../../etc")
    assert refuse("evaluate", tmp_path)
    assert "There is no row 9,999" in refuse("explain", trained, "--row", 9_999)
    assert "not empty" in refuse("train", write_clicks(tmp_path / "a.csv"), "--out", trained, *FAST)


def test_a_test_file_with_other_columns_names_them(refuse, tmp_path):
    train = write_clicks(tmp_path / "a.csv")
    test = _write(tmp_path / "b.csv", b"clicked,site,colour\n" + b"1,news,red\n0,tv,blue\n" * 50)
    line = refuse("train", train, "--test", test)
    assert "device" in line and "price" in line


def test_a_dataset_that_does_not_fit_the_preset_is_refused_with_the_way_out(call, refuse, tmp_path):
    call("prepare", write_clicks(tmp_path / "a.csv"), "--out", tmp_path / "data")
    line = refuse("train", tmp_path / "data", "--preset", "d2l")
    assert "prepared with validation 0.1, and you ask for 0.0" in line
    assert "Train from the raw file instead" in line


def test_the_module_runs_as_a_command(tmp_path):
    command = [sys.executable, "-m", "deepfm", "inspect", str(write_clicks(tmp_path / "a.csv"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["columns"]
    wrong = subprocess.run([*command[:-1], "nowhere"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert len(wrong.stderr.splitlines()) == 1

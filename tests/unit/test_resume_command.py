"""Ctrl-C and `resume` on the command line, with real processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.lab import small_dataset, until
from deepfm.runs.store import Store
from deepfm.trained import open_run

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def start(home: Path, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "deepfm", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "DEEPFM_HOME": str(home), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, dict, str]:
    """Exit code, the JSON of the last line, and what was said on stderr."""
    out, said = process.communicate(timeout=200)
    return process.returncode, json.loads(out.splitlines()[-1]) if out.strip() else {}, said


def until_trained(process: "subprocess.Popen[str]") -> None:
    """Read stderr until an epoch is done."""
    assert process.stderr is not None
    while "epoch 1/" not in (line := process.stderr.readline()):
        assert line, "it ended before an epoch was done"


def test_ctrl_c_keeps_a_checkpoint_from_which_resume_goes_on(tmp_path):
    dataset, folder = small_dataset(tmp_path / "data"), tmp_path / "run"
    flags = ("--epochs", 10_000, "--batch-size", 32)
    training = start(tmp_path, "train", dataset.folder, *flags, "--out", folder)
    until_trained(training)
    training.send_signal(signal.SIGINT)
    code, answer, said = ended(training)
    assert code == 130 and answer["stopped"]
    assert "stopping; what was learned is kept" in said
    assert f"Go on with it by: python -m deepfm resume {folder}" in said
    assert open_run(folder).result.epochs == answer["epochs"]

    dataset.folder.rename(tmp_path / "moved")
    code, _, said = ended(start(tmp_path, "resume", folder))
    assert code == 2 and "data" in said

    resumed = start(tmp_path, "resume", folder, "--dataset", tmp_path / "moved")
    assert resumed.stderr is not None
    while "resumed at epoch" not in (line := resumed.stderr.readline()):
        assert line
    while "epoch " not in resumed.stderr.readline():
        assert resumed.poll() is None
    resumed.send_signal(signal.SIGINT)
    code, later, _ = ended(resumed)
    assert code == 130 and later["epochs"] >= answer["epochs"]
    assert later.keys() == answer.keys()


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    code = """
import os, signal, time
from deepfm.interrupts import Interrupts
with Interrupts() as interrupts:
    assert not interrupts.asked()
    os.kill(os.getpid(), signal.SIGINT)
    assert interrupts.asked()
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except KeyboardInterrupt:
        print("ended")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "ended\n", done.stderr


def test_a_run_of_the_store_is_queued_by_its_id(tmp_path):
    with Store.open(tmp_path) as store:
        run_id = store.queue_run("A run", "/nowhere", "clicks", {}, {"epochs": 3})
        code, _, said = ended(start(tmp_path, "resume", run_id))
        assert code == 2 and "is queued; only one that was interrupted or stopped" in said
        store.request_stop(run_id)
        code, _, said = ended(start(tmp_path, "resume", run_id))
        assert code == 2 and "left no checkpoint" in said


def test_what_is_neither_a_folder_nor_an_id_is_refused_in_a_line(tmp_path):
    code, _, said = ended(start(tmp_path, "resume", tmp_path / "nothing here"))
    assert code == 2 and said.count("\n") == 1
    (tmp_path / "empty").mkdir()
    code, _, said = ended(start(tmp_path, "resume", tmp_path / "empty"))
    assert code == 2 and "There is no checkpoint in" in said


def test_a_folder_of_the_store_is_queued_too(tmp_path, monkeypatch, capsys):
    from deepfm import cli
    from deepfm.runs import worker

    started: list[Path] = []
    monkeypatch.setenv("DEEPFM_HOME", str(tmp_path))
    monkeypatch.setattr(worker, "ensure_worker", started.append)
    with Store.open(tmp_path) as store:
        for name in ("by id", "by folder"):
            run_id = store.queue_run(name, "/nowhere", "clicks", {}, {"epochs": 3})
            store.request_stop(run_id)
            folder = store.run_folder(run_id)
            folder.mkdir(parents=True)
            (folder / "checkpoint.json").write_text("{}")
            given = run_id if name == "by id" else str(folder)
            assert cli.main(["resume", given]) == 0
            answer = json.loads(capsys.readouterr().out)
            assert answer == {"run": run_id, "state": "queued", "attempt": 2}
    until(lambda: len(started) == 2, "both to start a worker")

"""Python alone becomes an environment with the pins, once, and again when they change."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepfm import setup

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty place for the environment, seen by a Python that is in none."""
    monkeypatch.setattr(setup, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(setup, "in_environment", lambda: False)
    return tmp_path


@pytest.fixture
def no_pins(place):
    """Requirements that name nothing, so that nothing is fetched."""
    file = place / "requirements.txt"
    file.write_text("# nothing yet\n", "utf-8")
    return file


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_a_python_with_the_pins_is_accepted(version):
    setup.check_version(version)


@pytest.mark.parametrize("version", [(2, 7), (3, 8), (3, 10), (3, 14), (4, 0)])
def test_any_other_python_is_told_which_ones_will_do(version):
    with pytest.raises(setup.SetupError, match=r"this is Python .*; DeepFM Lab runs on Python 3"):
        setup.check_version(version)


def test_a_start_that_cannot_be_ends_with_one_line_and_code_2(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    assert setup.start([]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_pins_are_those_of_the_file_and_of_the_included_ones():
    pins = setup.pins(ROOT / "requirements-dev.txt")
    assert pins["torch"] == "2.13.0"
    assert "pytest" in pins
    assert setup.pins(ROOT / "requirements.txt").items() < pins.items()


def test_a_build_of_a_version_is_that_version(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.13.0+cpu")
    assert setup._installed_version("torch") == "2.13.0"


def test_a_package_that_is_absent_or_of_another_version_is_no_pin_held(tmp_path):
    file = tmp_path / "requirements.txt"
    version = pytest.__version__
    for text, held in ((f"pytest=={version}", True), ("pytest==0.1", False), ("ghost==1", False)):
        file.write_text(text + "\n", "utf-8")
        assert setup.holds_pins(file) is held


def test_an_activated_environment_with_the_pins_is_used_as_it_is(no_pins, monkeypatch):
    monkeypatch.setattr(setup, "in_environment", lambda: True)
    assert setup.ready_python(no_pins) == Path(sys.executable)
    assert not setup.ENVIRONMENT.exists()


def test_an_environment_is_made_once_and_mended_when_it_must_be(no_pins, capfd):
    python = setup.ready_python(no_pins)
    assert subprocess.call([str(python), "-c", "import pip"]) == 0
    assert "making a virtual environment" in capfd.readouterr().err

    assert setup.ready_python(no_pins) == python
    assert capfd.readouterr().err == "", "nothing is left to do"

    no_pins.write_text("# another text\n", "utf-8")
    setup.ready_python(no_pins)
    again = capfd.readouterr().err
    assert "installing requirements.txt" in again and "making" not in again

    python.unlink()
    python.symlink_to("/nowhere/python")
    setup.ready_python(no_pins)
    assert "making a virtual environment" in capfd.readouterr().err
    assert subprocess.call([str(python), "-c", "import pip"]) == 0


def test_what_cannot_be_installed_is_said_and_tried_again(no_pins, monkeypatch, capfd):
    monkeypatch.setattr(setup, "is_whole", lambda python: True)
    monkeypatch.setattr(setup, "environment_python", lambda environment: Path(sys.executable))
    setup.ENVIRONMENT.mkdir()
    no_pins.write_text("./no-such-folder\n", "utf-8")
    for _ in range(2):
        with pytest.raises(setup.SetupError, match=r"pip could not install requirements\.txt"):
            setup.ready_python(no_pins)


def test_development_pins_bring_the_apps_up_to_date_too(place):
    (place / "requirements.txt").write_text("a==1\n", "utf-8")
    development = place / "requirements-dev.txt"
    development.write_text("-r requirements.txt\nb==2\n", "utf-8")
    setup.ENVIRONMENT.mkdir()
    setup.mark_current(setup.ENVIRONMENT, development)
    assert setup.is_current(setup.ENVIRONMENT, place / "requirements.txt")
    (place / "requirements.txt").write_text("a==2\n", "utf-8")
    assert not setup.is_current(setup.ENVIRONMENT, development)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no apt-get")
def test_without_root_the_missing_debian_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(setup, "_quiet", lambda command: False)
    major, minor = sys.version_info[:2]
    with pytest.raises(setup.SetupError, match=f"sudo apt-get install python{major}.{minor}-venv"):
        setup.make_environment(tmp_path / ".venv")


def test_a_command_in_a_python_with_nothing_installed_is_handed_over(tmp_path):
    """-S hides all packages: the command then runs in the environment, here a stand-in."""
    stand_in = tmp_path / "python"
    stand_in.write_text('#!/bin/sh\necho "$@"\n', "utf-8")
    stand_in.chmod(0o755)
    code = (
        "import pathlib, sys; from deepfm import __main__, setup; "
        f"setup.ready_python = lambda requirements: pathlib.Path({str(stand_in)!r}); "
        "sys.argv = ['deepfm', 'train', 'a file.tsv']; sys.exit(__main__.main())"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "-m deepfm train a file.tsv\n"), done.stderr


def test_the_test_command_names_its_parts_when_it_is_asked_for_another():
    done = subprocess.run(
        [sys.executable, "-m", "tests", "everything"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "style, types, unit, app, browser" in done.stderr

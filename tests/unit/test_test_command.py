"""The command that runs all tests: what fails once is tried once more, and never hidden."""

import sys
from pathlib import Path

import pytest

from tests import __main__ as command

PYTHON = Path(sys.executable)

FIRST_TIME_ONLY = """
from pathlib import Path

def test_one():
    mark = Path(__file__).with_suffix(".seen")
    if not mark.exists():
        mark.touch()
        raise AssertionError
"""
ALWAYS = (
    "import pytest\n\n@pytest.mark.parametrize('n', range({0}))\ndef test_n(n):\n    assert False\n"
)
DIES = "import os\n\ndef test_dies():\n    os._exit(1)\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, with the tests that a test writes into it."""
    monkeypatch.setattr(command, "ROOT", tmp_path)
    (tmp_path / "tests").mkdir()
    return tmp_path


def outcome(project: Path, source: str, capfd: pytest.CaptureFixture[str]) -> tuple[bool, str]:
    (project / "tests" / "test_it.py").write_text(source)
    passed = command.test(PYTHON, ["tests"])
    captured = capfd.readouterr()
    return passed, captured.out + captured.err


def test_a_test_that_passes_only_when_run_again_is_named(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    passed, said = outcome(project, FIRST_TIME_ONLY, capfd)
    assert passed and "passed only when run again, to be mended: tests/test_it.py::test_one" in said


def test_a_test_that_fails_twice_fails(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    passed, said = outcome(project, ALWAYS.format(1), capfd)
    assert not passed and "once more, by themselves: tests/test_it.py::test_n[0]" in said


def test_where_many_tests_fail_none_is_run_again(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    passed, said = outcome(project, ALWAYS.format(command.MOST_ANEW + 1), capfd)
    assert not passed and "once more" not in said


def test_tests_that_never_came_to_an_end_fail_whatever_failed_before(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome(project, ALWAYS.format(1), capfd)
    passed, said = outcome(project, DIES, capfd)
    assert not passed and "once more" not in said

"""What the README says is so, and what there is stands in the README."""

import argparse
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import deepfm
from deepfm.charts.palette import format_probability
from deepfm.cli.flags import configs, prepare_config
from deepfm.cli.verbs import make_parser
from deepfm.config import PRESETS, ModelConfig, PrepareConfig, Settings, TrainConfig
from deepfm.data.catalog import PINNED, true_probability
from deepfm.runs.store import FILE_NAME
from tests import readme

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line
    for language, block in BLOCKS
    if not language
    for line in block.replace("\\\n", " ").splitlines()
]
OTHER_VERBS = {"start"}
"""Verbs that deepfm/__main__.py takes before the command line sees them."""


def verbs() -> dict[str, argparse.ArgumentParser]:
    """The command line's verbs."""
    actions = make_parser()._actions
    choices = next(a.choices for a in actions if isinstance(a, argparse._SubParsersAction))
    return dict(choices)


FLAGS = sorted(
    {
        flag
        for parser in verbs().values()
        for action in parser._actions
        for flag in action.option_strings
    }
    - {"-h", "--help"}
)


def test_the_two_set_up_commands_stand_in_the_first_25_lines_and_are_the_only_ones():
    first = "\n".join(README.splitlines()[:25])
    assert BLOCKS[0] == ("", "python3 -m deepfm start\n")
    assert BLOCKS[1] == ("", "python3 -m tests\n")
    assert "python3 -m deepfm start" in first and "python3 -m tests" in first
    assert not re.search(r"pip3? install|-m venv|apt(-get)? install|conda |uv ", README)


def test_what_one_sees_stands_in_the_first_25_lines():
    first = "\n".join(README.splitlines()[:25])
    assert "](assets/screenshot.png)" in first
    assert "Train it yourself" in first


def test_the_numbers_of_the_first_minute_are_those_of_the_bundled_run():
    said = [int(number) for number in re.findall(r"(\d+) %", README.split("## ")[0])]
    laptop, phone = (
        next(dict(each.values) for each in PINNED if each.name == f"Kitchenware on a {device}")
        for device in ("laptop", "phone")
    )
    model = deepfm.open_run(ROOT / "assets" / "demo_run")
    shown = (
        deepfm.explain(model, laptop).probability,
        true_probability(laptop),
        deepfm.explain(model, phone).probability,
    )
    assert said == [int(format_probability(number, 0).split()[0]) for number in shown]


def test_the_pictures_are_there():
    for picture in re.findall(r"!\[[^]]+\]\(([^)]+)\)", README):
        assert (ROOT / picture).is_file(), picture


@pytest.mark.parametrize("verb", sorted({*verbs(), *OTHER_VERBS}))
def test_every_verb_has_an_example(verb):
    assert any(f"python3 -m deepfm {verb}" in command for command in COMMANDS)


@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_is_explained(flag):
    assert re.search(rf"{flag}\b(?!-)", README)


@pytest.mark.parametrize(
    "name", [s.name for c in (PrepareConfig, ModelConfig, TrainConfig) for s in c.settings()]
)
def test_every_setting_is_explained(name):
    assert f"| `{name}` |" in README


@pytest.mark.parametrize("name", [setting.name for setting in Settings.settings()])
def test_every_limit_is_explained(name):
    assert f"| `DEEPFM_{name.upper()}` |" in README


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_named(preset):
    assert f"--preset {preset}" in README


@pytest.mark.parametrize("name", deepfm.__all__)
def test_every_public_name_is_explained(name):
    assert re.search(rf"`{name}\b|deepfm\.{name}\b", README)


def test_the_tables_are_as_the_settings_are():
    assert readme.with_tables(README) == README, "write them with: python -m tests.readme"


EXAMPLES = [
    command
    for command in COMMANDS
    if "-m deepfm " in command and command.split("-m deepfm ")[1].split()[0] not in OTHER_VERBS
]


@pytest.mark.parametrize("command", EXAMPLES)
def test_an_example_is_understood_by_the_command_line(command):
    given = make_parser().parse_args(shlex.split(command.split("-m deepfm ")[1]))
    if hasattr(given, "separate_embedding"):
        configs(given)
        prepare_config(given)


def test_the_example_of_the_library_runs(tmp_path):
    """On files of its own names, with few rows."""
    rows = "".join(
        f"{int(site == ad)}\t{site}\t{ad}\n" for site in "abcde" for ad in "abcde" for _ in range(8)
    )
    (tmp_path / "train.tsv").write_text(rows, "utf-8")
    (tmp_path / "test.tsv").write_text(rows, "utf-8")
    (code,) = [block for language, block in BLOCKS if language == "python"]
    assert len(code.splitlines()) <= 10
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"DEEPFM_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 0 <= float(done.stdout.split()[0]) <= 1


def test_exports_are_the_lazily_loaded_names_in_order():
    assert deepfm.__all__ == sorted(deepfm._HOMES)
    assert dir(deepfm) == deepfm.__all__


@pytest.mark.parametrize("name", deepfm.__all__)
def test_a_public_name_is_defined_where_it_is_loaded_from(name):
    loaded = getattr(deepfm, name)
    assert loaded.__module__.startswith(deepfm._HOMES[name])
    assert loaded.__doc__


def test_a_name_that_is_not_public_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = deepfm.nothing


def test_the_stores_file_is_named():
    assert f"`{FILE_NAME}`" in README


def test_the_version_is_one_and_has_its_changes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == deepfm.__version__
    assert f"## {deepfm.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned(file):
    lines = (ROOT / file).read_text("utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+|-r [\w.-]+", line)] == []


def test_the_first_requirement_is_torch():
    assert (ROOT / "requirements.txt").read_text("utf-8").startswith("torch==2.13.0\n")


def test_no_path_of_a_developers_machine_stands_in_the_repository():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        pytest.skip("this copy is no git checkout")
    machine = re.compile(rb"/(?:%s)/" % b"|".join((b"work", b"root", b"home/[a-z]", b"Users")))
    found = [
        name
        for name in filter(None, listed.stdout.split("\0"))
        if (ROOT / name).is_file() and machine.search((ROOT / name).read_bytes())
    ]
    assert found == []

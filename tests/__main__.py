"""`python3 -m tests`: install what the tests need, then style, types and all tests, in one go.

Names of parts (style, types, unit, app, browser) leave the others out: `python3 -m tests unit`.
The exit code is 0 only when every part that was asked for has passed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from deepfm import setup
from tests import chromium

ROOT = setup.ROOT
REQUIREMENTS = ROOT / "requirements-dev.txt"
CHECKS = {
    "style": (["ruff", "check", "."], ["ruff", "format", "--check", "."]),
    "types": (["mypy"],),
}
TESTS = ("unit", "app", "browser")
PARTS = (*CHECKS, *TESTS)


def main(arguments: list[str]) -> int:
    """Check the parts named, or all; returns the exit code."""
    unknown = set(arguments) - set(PARTS)
    if unknown:
        setup.say(f"there is no part {', '.join(sorted(unknown))}; known are {', '.join(PARTS)}.")
        return 2
    try:
        python = setup.ready_python(REQUIREMENTS)
    except setup.SetupError as error:
        setup.say(str(error))
        return 2
    return check(python, arguments or list(PARTS))


def check(python: Path, parts: list[str]) -> int:
    """Check the parts in their order, each whatever came of those before it."""
    tools = [tool for part in CHECKS if part in parts for tool in CHECKS[part]]
    folders = [f"tests/{part}" for part in TESTS if part in parts]
    complete = "browser" not in parts or browser_at_hand()
    if not complete:
        folders.remove("tests/browser")
    if folders:
        tools.append(["pytest", *folders])
    passed = [run(python, tool) for tool in tools]
    return 0 if all(passed) and (complete or not browser_required()) else 1


def run(python: Path, tool: list[str]) -> bool:
    """Whether a tool of the environment, run from the root, finds nothing wrong."""
    setup.say(" ".join(tool))
    return subprocess.call([str(python), "-m", *tool], cwd=ROOT) == 0


def browser_at_hand() -> bool:
    """Whether there is a Chromium for the browser tests, which are told of it."""
    program = chromium.find_or_install_chromium()
    if program is None:
        setup.say(
            "no Chromium or Chrome here, and none could be installed: the browser tests are left "
            f"out{', which counts as a failure' if browser_required() else ''}."
        )
        return False
    os.environ[chromium.VARIABLE] = program
    return True


def browser_required() -> bool:
    """Whether leaving the browser tests out is a failure, as it is in .ci/run."""
    return os.environ.get("DEEPFM_REQUIRE_BROWSER") == "1"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python3 -m tests`: install what the tests need, then style, types and all tests, in one go.

Names of parts (style, types, unit, app, browser) leave the others out: `python3 -m tests unit`.
A few tests that fail are run once more by themselves, for some of them start processes and browsers
that a busy machine can starve; what passes only then is named, for it is to be mended.
The exit code is 0 only when every part that was asked for has passed.
"""

from __future__ import annotations

import json
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
MOST_ANEW = 3
"""Failed tests that are run once more; where more fail, something is broken."""


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
    passed = [run(python, tool) for tool in tools]
    if folders:
        passed.append(test(python, folders))
    return 0 if all(passed) and (complete or not browser_required()) else 1


def run(python: Path, tool: list[str]) -> bool:
    """Whether a tool of the environment, run from the root, finds nothing wrong."""
    setup.say(" ".join(tool))
    return subprocess.call([str(python), "-m", *tool], cwd=ROOT) == 0


def test(python: Path, folders: list[str]) -> bool:
    """Whether all tests pass, a few of them perhaps only when run again by themselves."""
    kept_failures().unlink(missing_ok=True)
    if run(python, ["pytest", *folders]):
        return True
    failed = failed_tests()
    if not 1 <= len(failed) <= MOST_ANEW:
        return False
    setup.say("once more, by themselves: " + ", ".join(failed))
    if not run(python, ["pytest", *failed]):
        return False
    setup.say("passed only when run again, to be mended: " + ", ".join(failed))
    return True


def failed_tests() -> list[str]:
    """What failed when pytest last ran to its end; nothing where it did not get there."""
    try:
        return list(json.loads(kept_failures().read_text("utf-8")))
    except (OSError, ValueError):
        return []


def kept_failures() -> Path:
    """Where pytest keeps the names of the tests that failed."""
    return ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"


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

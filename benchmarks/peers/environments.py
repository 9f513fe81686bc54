"""A toolkit's name and version to a Python that has it: a virtual environment of its own."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from deepfm.setup import REQUIREMENTS, environment_python, pins


@dataclass(frozen=True)
class Toolkit:
    """One toolkit: the label in the table, what pip installs, and the script that trains it.

    requirement   None: this project, in the Python that runs the benchmark
    undeclared    what it needs beside, and does not say
    """

    label: str
    script: str
    requirement: str | None = None
    undeclared: tuple[str, ...] = ()
    optimizer: str = "adam"


class NotInstalledError(Exception):
    """Why a toolkit could not be installed, in one line."""


def ready_python(toolkit: Toolkit, cache: Path, *, install: bool = True) -> Path:
    """The Python that has the toolkit; its environment is made now where it is not there.

    Every environment has the torch that this project pins; pip may not choose another.
    NotInstalledError says why there is none.
    """
    if toolkit.requirement is None:
        return Path(sys.executable)
    folder = cache / "environments" / toolkit.requirement
    packages = [toolkit.requirement, *toolkit.undeclared]
    done = folder / "installed.txt"
    if not done.exists() or done.read_text("utf-8").split() != packages:
        if not install:
            raise NotInstalledError("--installed-only was given")
        _make(folder, packages)
        done.write_text("\n".join(packages), "utf-8")
    return environment_python(folder)


def _make(folder: Path, packages: list[str]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    torch = f"torch=={pins(REQUIREMENTS)['torch']}"
    call([sys.executable, "-m", "venv", "--clear", str(folder)])
    constraints = folder / "constraints.txt"
    constraints.write_text(torch + "\n", "utf-8")
    print(f"installing {packages[0]} and {torch}", file=sys.stderr, flush=True)
    call(
        [
            str(environment_python(folder)),
            *("-m", "pip", "install", "--no-input", "--disable-pip-version-check"),
            *("--constraint", str(constraints), torch, *packages),
        ]
    )


def call(command: list[str]) -> None:
    """Run it; NotInstalledError holds the last line that it wrote to stderr."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise NotInstalledError(lines[-1] if lines else f"exit code {done.returncode}")

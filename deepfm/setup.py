"""A bare Python to a virtual environment that holds the pins, and in it the app or any command.

Standard library only, and nothing that Python 3.8 cannot read: this module runs before anything
is installed, and must still be able to say that the Python is too old.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements.txt"
OLDEST, NEWEST = (3, 11), (3, 13)
LIBRARY = ("numpy", "pyarrow", "safetensors", "sklearn", "torch")
"""What the command line imports; in any version, so that a person's own environment will do."""


class SetupError(Exception):
    """What keeps the environment from being made, in one line that says what to do."""


def start(arguments: Sequence[str]) -> int:
    """Install what is missing, then run the app; the arguments are passed on to Streamlit."""
    command = ["-m", "streamlit", "run", str(ROOT / "app.py"), *arguments]
    return hand_over(command, REQUIREMENTS, folder=ROOT)  # .streamlit/ is looked for in the folder


def has_library() -> bool:
    """Whether this Python can run the command line as it is."""
    return OLDEST <= sys.version_info[:2] <= NEWEST and all(
        importlib.util.find_spec(name) for name in LIBRARY
    )


def hand_over(command: Sequence[str], requirements: Path, folder: Path | None = None) -> int:
    """Become a Python that holds the pins, given `command`; returns only when there is none.

    folder: where it runs, by default here. The exit code is 2, after one line that says why.
    """
    try:
        python = ready_python(requirements)
    except SetupError as error:
        say(str(error))
        return 2
    os.chdir(folder or Path.cwd())
    _become([str(python), *command])


def say(text: str) -> None:
    """One line for the person, at once and before what child processes print."""
    print(f"deepfm: {text}", file=sys.stderr, flush=True)


def _become(command: Sequence[str]) -> NoReturn:
    """Go on as another program; on Windows, which cannot, wait for it and exit with its code."""
    if os.name == "nt":
        sys.exit(subprocess.call(command))
    os.execv(command[0], list(command))


def ready_python(requirements: Path) -> Path:
    """The Python that has everything a requirements file names, installed now where it is not.

    The virtual environment a person has activated is used as it is when it holds the pins;
    otherwise `.venv` beside app.py is, and is made, or mended, or brought up to date.
    SetupError says what a person has to do.
    """
    check_version(sys.version_info[:2])
    if in_environment() and holds_pins(requirements):
        return Path(sys.executable)
    python = environment_python(ENVIRONMENT)
    inside = Path(sys.prefix).resolve() == ENVIRONMENT  # then the pins were just found missing
    if inside or not (python.exists() and is_current(ENVIRONMENT, requirements)):
        if not is_whole(python):
            make_environment(ENVIRONMENT)
        install(python, requirements)
        mark_current(ENVIRONMENT, requirements)
    return python


def check_version(version: tuple[int, ...]) -> None:
    """SetupError unless the pins exist for this version of Python, as (3, 12)."""
    if not OLDEST <= version <= NEWEST:
        raise SetupError(
            f"this is Python {_dotted(version)} ({sys.executable}); DeepFM Lab runs on Python "
            f"{_dotted(OLDEST)} to {_dotted(NEWEST)}. Give the command to one of those."
        )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


def in_environment() -> bool:
    """Whether this Python already runs inside a virtual environment."""
    return sys.prefix != sys.base_prefix


def holds_pins(requirements: Path) -> bool:
    """Whether this Python has each package of a requirements file in exactly the pinned version."""
    return all(_installed_version(name) == version for name, version in pins(requirements).items())


def _installed_version(name: str) -> str | None:
    try:
        # 2.13.0+cpu is a build of 2.13.0.
        return importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def pins(requirements: Path) -> dict[str, str]:
    """Package name to version, of a requirements file and of those it includes by `-r`."""
    found: dict[str, str] = {}
    for file in with_included(requirements):
        found.update(re.findall(r"^([\w.-]+)==([\w.]+)$", file.read_text("utf-8"), re.MULTILINE))
    return found


def with_included(requirements: Path) -> list[Path]:
    """A requirements file and those it includes by `-r`, each once."""
    names = re.findall(r"^-r (\S+)$", requirements.read_text("utf-8"), re.MULTILINE)
    included = [file for name in names for file in with_included(requirements.parent / name)]
    return [requirements, *included]


def environment_python(environment: Path) -> Path:
    """Where a virtual environment keeps its Python."""
    if os.name == "nt":
        return environment / "Scripts" / "python.exe"
    return environment / "bin" / "python"


def is_whole(python: Path) -> bool:
    """Whether a virtual environment's Python runs, is a version we can use, and has pip."""
    probe = f"import pip, sys; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
    return python.exists() and _quiet([str(python), "-c", probe])


def make_environment(environment: Path) -> None:
    """A new virtual environment with pip in it, in place of whatever was there."""
    if not _quiet([sys.executable, "-c", "import ensurepip, venv"]):
        _install_venv_module()
    say(f"making a virtual environment in {environment.name}")
    if subprocess.call([sys.executable, "-m", "venv", "--clear", str(environment)]) != 0:
        raise SetupError(
            f"the virtual environment {environment} could not be made; the reason stands above."
        )


def _install_venv_module() -> None:
    """Debian packs venv and ensurepip apart from Python: have apt-get add them, or say so."""
    package = f"python{_dotted(sys.version_info[:2])}-venv"
    if not install_debian_package(package):
        raise SetupError(
            "this Python cannot make virtual environments. Install its venv module "
            f"(on Debian and Ubuntu: sudo apt-get install {package}), then give the command again."
        )


def install_debian_package(package: str) -> bool:
    """Whether apt-get installed a package; not tried where there is no apt-get, or without root."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return False
    say(f"installing {package} with apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    commands = (
        ["apt-get", "-qq", "update"],
        ["apt-get", "-qq", "install", "-y", "--no-install-recommends", package],
    )
    # Its many lines go where a person can read them without drowning ours.
    return all(
        subprocess.call(command, env=environment, stdout=sys.stderr) == 0 for command in commands
    )


def install(python: Path, requirements: Path) -> None:
    """Have pip install a requirements file, its progress in sight."""
    say(f"installing {requirements.name} into {ENVIRONMENT.name}; the first time takes minutes")
    options = ["--disable-pip-version-check", "--no-input", "--requirement", str(requirements)]
    if subprocess.call([str(python), "-m", "pip", "install", *options], stdout=sys.stderr) != 0:
        raise SetupError(
            f"pip could not install {requirements.name}; the reason stands above. "
            "Check the network and the disk, then give the command again."
        )


def is_current(environment: Path, requirements: Path) -> bool:
    """Whether the environment was last brought up to date with just these pins."""
    mark = _mark(environment, requirements)
    return mark.exists() and mark.read_text("utf-8") == fingerprint(requirements)


def mark_current(environment: Path, requirements: Path) -> None:
    """Remember which pins the environment holds: those of the file and of all it includes."""
    for file in with_included(requirements):
        _mark(environment, file).write_text(fingerprint(file), "utf-8")


def fingerprint(requirements: Path) -> str:
    """A hash that changes when a pin of the file, or of one it includes, changes."""
    texts = [file.read_bytes() for file in with_included(requirements)]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def _mark(environment: Path, requirements: Path) -> Path:
    return environment / f"{requirements.name}.sha256"


def _quiet(command: Sequence[str]) -> bool:
    """Whether a command succeeds; what it prints is dropped."""
    return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0

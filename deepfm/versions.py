"""This process to what it computes with: the versions that are needed to repeat a run."""

import functools
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

PACKAGES: Final = ("deepfm-lab", "torch", "numpy", "pyarrow", "scikit-learn")
"""Packages whose version may change a result."""


@functools.cache
def versions() -> dict[str, Any]:
    """Python, packages and platform, as JSON; looked up once, as they do not change."""
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "platform": platform.platform(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

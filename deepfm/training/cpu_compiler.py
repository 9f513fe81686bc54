"""numba to a numba that has loaded what compiled loops need, and scipy only where it is used.

The first function that numba loads imports scipy's linear algebra, a quarter of a second, only to
see whether it is there. Whether it is there can be told without importing it; where a function
does use it, numba imports it then, as ever.
"""

import importlib
import importlib.util
import sys
from typing import Any

ALGEBRA = "numba.np.linalg"
ARRAYS = "numba.np.arraymath"


def load_without_scipy() -> None:
    """Import numba's array functions, once; before anything is compiled or loaded."""
    linalg: Any = importlib.import_module(ALGEBRA)
    ensure = getattr(linalg, "ensure_blas", None)
    if ARRAYS in sys.modules or ensure is None:
        return
    linalg.ensure_blas = _find_scipy
    try:
        arrays: Any = importlib.import_module(ARRAYS)
    finally:
        linalg.ensure_blas = ensure
    arrays.ensure_blas = ensure


def _find_scipy() -> None:
    if importlib.util.find_spec("scipy") is None:
        raise ImportError("scipy is required for linear algebra")

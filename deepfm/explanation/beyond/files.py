"""What the network adds beyond pairs, to two files of the run folder and back.

beyond.json          the figures
beyond.safetensors   the fit (mean; single, factors by feature); deep of the first reference rows

Written by `save_beyond` (a worker's job, the command line or a notebook), each aside and renamed
into place, the figures last: a crash leaves no half result. A run that was trained on in the same
folder leaves them stale: the deep branch of some rows is computed anew when they are read, and
files that do not fit the model count as absent.
"""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from deepfm.errors import RunError
from deepfm.explanation.beyond.marginals import marginals_of
from deepfm.explanation.beyond.measures import Division, Share
from deepfm.explanation.beyond.pair_model import PairModel
from deepfm.explanation.beyond.result import Beyond
from deepfm.trained import TrainedModel

FIGURES: Final = "beyond.json"
FIT: Final = "beyond.safetensors"
VERSION: Final = 1

_CHECKED_ROWS: Final = 64
_TOLERANCE: Final = 1e-3
_DAMAGE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError)


def save_beyond(model: TrainedModel, found: Beyond) -> None:
    """Put both files into the run's folder, in place of older ones; RunError if it cannot."""
    figures = {
        "version": VERSION,
        "fields": list(found.fields),
        "deep": asdict(found.deep),
        "score": asdict(found.score),
        "terms": found.terms,
        "on_reference": asdict(found.on_reference),
        "taking_part": {name: asdict(share) for name, share in found.taking_part.items()},
        "draws": found.draws,
        "seed": found.seed,
        "seconds": found.seconds,
    }
    arrays = {
        "mean": np.array([found.model.mean]),
        "single": found.model.single,
        "factors": found.model.factors,
        "features": found.marginals.features,
        "checked": _checked_rows(model),
    }
    text = json.dumps(figures, ensure_ascii=False, indent=1)
    try:
        (model.folder / FIGURES).unlink(missing_ok=True)
        _put(model.folder / FIT, lambda path: save_file(arrays, path))
        _put(model.folder / FIGURES, lambda path: path.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise RunError(
            f"The result cannot be written into the run folder {model.folder}: "
            f"{error.strerror or error}. Free some space or make the folder writable, and "
            "try again."
        ) from error


def _put(path: Path, write: Callable[[Path], object]) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".writing")
    os.close(handle)
    aside = Path(name)
    try:
        write(aside)
        aside.chmod(0o644)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def find_beyond(model: TrainedModel) -> Beyond | None:
    """What was measured of this run; None where nothing was yet, or of other weights.

    RunError where the files are damaged.
    """
    path = model.folder / FIGURES
    if "deep" not in model.model.terms or not path.is_file():
        return None
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
        arrays = load_file(model.folder / FIT)
        if figures["version"] != VERSION:
            return None
        return _found(model, figures, arrays)
    except _DAMAGE as error:
        raise RunError(
            f"{FIGURES} or {FIT} in the run folder {model.folder} is damaged "
            f"({str(error).rstrip('. ') or type(error).__name__}). Delete both, and ask again."
        ) from error


def _found(
    model: TrainedModel, figures: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> Beyond | None:
    marginals = marginals_of(model.reference_ids)
    names = tuple(field.name for field in model.fields)
    same = np.array_equal(arrays["features"], marginals.features) and np.allclose(
        arrays["checked"], _checked_rows(model), rtol=_TOLERANCE, atol=_TOLERANCE
    )
    if not same or tuple(figures["fields"]) != names:
        return None
    return Beyond(
        fields=names,
        deep=_division(figures["deep"]),
        score=_division(figures["score"]),
        terms={str(name): float(share) for name, share in figures["terms"].items()},
        on_reference=Share(**figures["on_reference"]),
        reference_rows=marginals.rows.shape[1],
        taking_part={name: Share(**share) for name, share in figures["taking_part"].items()},
        draws=int(figures["draws"]),
        seed=int(figures["seed"]),
        seconds=float(figures["seconds"]),
        marginals=marginals,
        model=_pair_model(arrays, len(marginals.features)),
    )


def _division(values: dict[str, Any]) -> Division:
    shares = {name: Share(**values[name]) for name in ("singles", "pairs", "beyond")}
    return Division(**shares, variance=float(values["variance"]))


def _pair_model(arrays: dict[str, NDArray[Any]], features: int) -> PairModel:
    mean, single, factors = arrays["mean"], arrays["single"], arrays["factors"]
    if single.shape != (features,) or factors.ndim != 2 or len(factors) != features:
        raise ValueError(f"it holds {len(single)} features, expected {features}")
    if not all(np.isfinite(array).all() for array in (mean, single, factors)):
        raise ValueError("it holds values that are not numbers")
    return PairModel(float(mean[0]), single, factors)


def _checked_rows(model: TrainedModel) -> NDArray[np.float64]:
    """The deep branch of the first reference rows, float64[≤ 64]."""
    return model.weights.deep(model.reference_ids[:_CHECKED_ROWS])

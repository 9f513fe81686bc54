"""A cache folder to the datasets that benchmarks train on: the seed's shape and Criteo's.

Made once and opened afterwards; the folders' names say what is in them.
"""

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from benchmarks import criteo
from deepfm.data.dataset import Dataset, open_dataset, prepare
from deepfm.data.synthetic import D2L_FORM_ROWS, write_d2l_form

SEED_ROWS: Final = D2L_FORM_ROWS["train"]


def add_cache_flag(parser: argparse.ArgumentParser) -> None:
    """--cache: where the data are kept from one run to the next."""
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "deepfm-benchmarks",
        help="folder that keeps the data from one run to the next",
    )


def chosen_keys(only: str, known: Iterable[str]) -> list[str]:
    """--only KEY,KEY as a list, all keys without it; ends the program where one is not known."""
    keys = list(known)
    chosen = [key.strip() for key in only.split(",") if key.strip()] or keys
    for key in chosen:
        if key not in keys:
            raise SystemExit(f"--only: {key!r} is none of {', '.join(keys)}.")
    return chosen


def seed_shape(
    cache: Path, rows: int = SEED_ROWS, *, test_rows: int = 0, validation: float = 0.0
) -> Dataset:
    """34 fields as D2L's ctr set has them, min_count 4.

    validation   fraction of the rows that is held out of the train part
    """
    held_out = f"-{validation:g}" if validation else ""
    folder = cache / f"seed-{rows}-{test_rows}{held_out}"
    if folder.exists():
        return open_dataset(folder)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        sizes = {"train": rows} | ({"test": test_rows} if test_rows else {})
        paths = write_d2l_form(Path(scratch), rows=sizes)
        return prepare(
            paths["train"],
            paths.get("test"),
            out=folder,
            name=f"Seed's shape, {rows:,} rows",
            min_count=4,
            validation=validation,
        )


def criteo_shape(
    cache: Path,
    rows: int,
    *,
    test_rows: int = 0,
    validation_rows: int = 0,
    log_rows: int = criteo.FULL_ROWS,
) -> Dataset:
    """39 fields; the features of a log of `log_rows` rows: about a million at full size."""
    held_out = f"-{validation_rows}" if validation_rows else ""
    folder = cache / f"criteo-{criteo.VERSION}-{rows}-{test_rows}-{log_rows}{held_out}"
    return criteo.write_encoded(
        folder, rows, test_rows=test_rows, validation_rows=validation_rows, log_rows=log_rows
    )

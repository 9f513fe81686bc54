"""A seed to click data of Criteo Kaggle's shape, at any size: encoded dataset folder or raw text.

python -m benchmarks.criteo encoded FOLDER --rows 45840617 --test-rows 1000000
python -m benchmarks.criteo text FILE --rows 1000000

13 columns of whole numbers and 26 of hashes, as many different values in each as the real log
has, drawn by a truncated power law; clicks follow single values and six pairs of columns, so that
there is something to learn. A value has a feature of its own if a log of 45.8 million rows is
expected to hold it eight times: about a million features, however few rows are made. The first rows
are the same for any number of rows, and text and encoded form hold the same impressions.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.criteo import FULL_ROWS, write_encoded, write_text


def main() -> None:
    """Write one of the two forms and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("form", choices=("encoded", "text"))
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--test-rows", type=int, default=0, help="of the encoded form")
    parser.add_argument("--log-rows", type=int, default=FULL_ROWS, help="decides the features")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.perf_counter()
    about: dict[str, Any] = {"form": given.form, "path": str(given.path), "rows": given.rows}
    if given.form == "text":
        write_text(given.path, given.rows, seed=given.seed)
        about["bytes"] = given.path.stat().st_size
    else:
        dataset = write_encoded(
            given.path,
            given.rows,
            test_rows=given.test_rows,
            seed=given.seed,
            log_rows=given.log_rows,
        )
        about["features"] = dataset.vocabulary.num_features
    print(json.dumps({**about, "seconds": round(time.perf_counter() - began, 1)}))


if __name__ == "__main__":
    main()

"""How soon the Evaluate page opens on a million scored rows, the first time and the second.

python -m benchmarks.evaluate                 (a minute; a real Chromium, DEEPFM_CHROMIUM names one)
python -m benchmarks.evaluate --rows 100000
python -m benchmarks.evaluate --no-browser    (what the figures cost alone)

The run is the bundled one with so many scored rows drawn at random; an app of its own serves it.
"First" is the first page that a fresh app and a fresh browser show, "second" the same address
loaded again; open means that the script has run and the ROC curve and the confusion matrix are
drawn. The bundled run's 500 rows, opened likewise, say what any page costs. Prints a Markdown table
and one JSON line.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import report
from deepfm.evaluation import evaluate_rows, judged_rows, worst_slices
from deepfm.runs.store import Store
from deepfm.trained import open_run
from deepfm.trained.run_folder import VALUE
from deepfm.ui.state import DEMO_RUN_FOLDER

KEPT: Final = 100_000
"""Rows of which a run keeps the values."""
DRAWN: Final = "() => document.querySelectorAll('.dfm-chart .main-svg').length >= 2"
"""Whether the ROC curve and the confusion matrix are there."""


def main() -> None:
    """Make the run, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--no-browser", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "home"
        run_id, folder = make_run(home, given.rows)
        figures = figures_alone(folder)
        if not given.no_browser:
            figures |= pages(home, run_id)
    print(report.title(f"Evaluate, {given.rows:,} rows", report.machine()))
    rows = [[words, f"{seconds:.2f}"] for words, seconds in figures.items()]
    print(f"\n{report.markdown(('what', 'seconds'), rows)}\n")
    report.print_json("evaluate", report.machine(), {"rows": given.rows, **figures})


def make_run(home: Path, rows: int) -> tuple[str, Path]:
    """The bundled run as a finished run of a home, with so many test rows; id and folder."""
    with Store.open(home) as store:
        run_id = store.queue_run("A million rows", home / "datasets" / "none", "many", {}, {})
        store.claim_run("benchmark")
        folder = store.run(run_id).folder
        shutil.copytree(DEMO_RUN_FOLDER, folder)
        write_rows(folder, rows)
        store.finish_run(run_id, "finished", "", {"part": "test"})
    return run_id, folder


def write_rows(folder: Path, rows: int) -> None:
    """Random impressions of the bundled vocabulary, scored by the model; labels follow it."""
    model, rng = open_run(folder), np.random.default_rng(0)
    ids = np.stack(
        [rng.integers(f.offset, f.offset + f.size, rows) for f in model.fields], axis=1
    ).astype(np.int32)
    terms = model.score(ids)
    labels = (rng.random(rows) < terms.probability).astype(np.float32)
    index = {"part": pa.repeat("test", rows), "row": pa.array(np.arange(rows))}
    columns = {name: term.astype(np.float32) for name, term in zip(_TERMS, terms, strict=True)}
    truth = pa.nulls(rows, pa.float32())
    pq.write_table(
        pa.table({**index, **columns, "label": labels, "truth": truth}), folder / "scores.parquet"
    )
    kept = min(rows, KEPT)
    texts = {
        f"{VALUE}{field.name}": model.vocabulary.decode_column(field.name, ids[:kept, place])
        for place, field in enumerate(model.fields)
    }
    pq.write_table(
        pa.table({name: column[:kept] for name, column in index.items()} | texts),
        folder / "impressions.parquet",
    )
    np.save(folder / "impression_ids.npy", ids[:kept])


_TERMS: Final = ("linear", "pairwise", "deep")


def figures_alone(folder: Path) -> dict[str, float]:
    """Seconds of each piece of work behind the page, without any page."""
    taken: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        taken[name] = time.perf_counter() - began
        return result

    rows = timed("read the scores", lambda: judged_rows(open_run(folder)))
    found = timed("all figures", lambda: evaluate_rows(rows))
    for name in ("roc", "precision_recall", "gain", "thresholds", "calibration", "histogram"):
        timed(name.replace("_", " "), partial(getattr, found, name))
    timed("what the log loss is made of (with scikit-learn)", lambda: found.decomposition)
    timed("worst slices by log loss", lambda: worst_slices(rows))
    timed("worst slices by AUC", lambda: worst_slices(rows, "auc"))
    timed("one difference of AUC", lambda: found.compare(found))
    return taken


def pages(home: Path, run_id: str) -> dict[str, float]:
    """Seconds until the page is open, the first time of a fresh app and again."""
    from benchmarks.app.visit import browsing, visiting
    from tests.browser.server import serving

    taken = {}
    with serving(home) as server, browsing() as browser, visiting(browser, server) as visit:

        def opened(name: str, address: str) -> None:
            began = time.perf_counter()
            visit.open(address)
            visit.page.wait_for_function(DRAWN)
            taken[name] = time.perf_counter() - began

        opened("the page, first", f"/evaluate?run={run_id}")
        opened("the page, second", f"/evaluate?run={run_id}")
        opened("500 rows, first", "/evaluate?run=demo")
        opened("500 rows, second", "/evaluate?run=demo")
    return taken


if __name__ == "__main__":
    main()

"""DeepFM of three other toolkits and ours to one table: rate, test AUC, memory, first step.

python -m benchmarks.peers --cache FOLDER       (makes a virtual environment for each, 2 GB each)

Same rows, sizes, epochs, batch size, optimiser settings and threads; every training has a process
of its own, all take turns, and the median of the rounds counts; each round has a seed of its own.
A toolkit that cannot be installed or does not run says so in its row. Prints a Markdown table and
one JSON line.

What is compared is the model at its best: a tenth of the rows is held out for all alike, looked at
after every epoch, and the epoch with the best AUC on it is what scores the test rows. The last
epoch would not do. On the seed's shape AUC peaks at epoch 3 (ours 0.642 to 0.648 with three seeds)
and falls to 0.56 to 0.60 by epoch 30, when the rows are known by heart: two toolkits would be
compared by how far each has gone wrong, and after a few epochs by how fast it goes. How the tables
begin makes no difference to that: with FuxiCTR's normal distribution of width 0.0001 in place of
xavier, ours peaks at the same epoch at 0.643 to 0.647.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, Final

import numpy as np

from benchmarks import report
from benchmarks.memory import MIB
from benchmarks.peers.environments import NotInstalledError, Toolkit, ready_python
from benchmarks.peers.exchange import Job, Result
from benchmarks.shapes import SEED_ROWS, add_cache_flag, chosen_keys, criteo_shape, seed_shape
from deepfm import evaluation
from deepfm.config import PRESETS
from deepfm.data.dataset import Dataset

HERE: Final = Path(__file__).resolve().parent
TOOLKITS: Final[Mapping[str, Toolkit]] = {
    "fuxictr": Toolkit("FuxiCTR 2.3.10", "run_fuxictr.py", "fuxictr==2.3.10"),
    "deepctr": Toolkit(
        "DeepCTR-Torch 0.3.0", "run_deepctr.py", "deepctr-torch==0.3.0", undeclared=("requests",)
    ),
    "rechub": Toolkit("Torch-RecHub 0.9.0", "run_rechub.py", "torch-rechub==0.9.0"),
    "ours": Toolkit("ours, adam", "run_ours.py"),
    "ours_lazy": Toolkit("ours, lazy-adam", "run_ours.py", optimizer="lazy-adam"),
}
SEED_TEST_ROWS: Final = 3_000
HELD_OUT: Final = 0.1
"""Of the train rows: what the epochs are judged by."""


@dataclass(frozen=True)
class Shape:
    """Data that all toolkits train on, and for how many epochs."""

    name: str
    dataset: Dataset
    epochs: int


@dataclass
class Outcome:
    """All rounds of one toolkit on one shape; `problem` says why there are none."""

    results: list[Result] = field(default_factory=list)
    aucs: list[float] = field(default_factory=list)
    problem: str = ""

    @property
    def rate(self) -> float | None:
        """The median of examples a second."""
        return median(r.examples_per_second for r in self.results) if self.results else None

    @property
    def first_step(self) -> float | None:
        """The median of seconds to the first step."""
        return median(r.first_step_seconds for r in self.results) if self.results else None


def write_data(dataset: Dataset, folder: Path) -> None:
    """The rows as toolkits read them: see exchange.py."""
    folder.mkdir()
    offsets = np.array([f.offset for f in dataset.fields], dtype=np.int32)
    (folder / "fields.json").write_text(json.dumps([f.size for f in dataset.fields]), "utf-8")
    for name in ("train", "validation", "test"):
        part = dataset.parts[name]
        ids = part.ids - offsets
        np.save(folder / f"{name}_ids.npy", ids)
        np.save(folder / f"{name}_labels.npy", np.array(part.labels))
        columns: dict[str, Any] = {f"f{i}": column for i, column in enumerate(ids.T)}
        columns["label"] = part.labels.astype(np.int64)
        np.savez(folder / f"{name}.npz", **columns)


def train_once(
    toolkit: Toolkit, python: Path, shape: Shape, data: Path, given: argparse.Namespace, seed: int
) -> tuple[Result, float]:
    """One training in a process of its own: its result, and the AUC of its test scores."""
    with tempfile.TemporaryDirectory(dir=data.parent) as out:
        job = Job(
            data=str(data),
            out=out,
            dataset=str(shape.dataset.folder),
            started=time.time(),
            threads=given.threads,
            epochs=shape.epochs,
            batch_size=given.batch_size,
            num_factors=PRESETS["d2l"].model["num_factors"],
            mlp_dims=PRESETS["d2l"].model["mlp_dims"],
            drop_rate=PRESETS["d2l"].model["drop_rate"],
            learning_rate=PRESETS["d2l"].train["learning_rate"],
            optimizer=toolkit.optimizer,
            seed=seed,
        )
        job.write(Path(out) / "job.json")
        _run(toolkit, python, Path(out), given.threads)
        result = Result(**json.loads((Path(out) / "result.json").read_text("utf-8")))
        scores = np.load(Path(out) / "scores.npy")
    auc = evaluation.auc(np.asarray(shape.dataset.parts["test"].labels), scores)
    return result, float("nan") if auc is None else auc


class TrainingError(Exception):
    """A toolkit's script that ended with an error: its last line."""


def _run(toolkit: Toolkit, python: Path, out: Path, threads: int) -> None:
    own = toolkit.requirement is None
    script = ["-m", f"benchmarks.peers.{Path(toolkit.script).stem}"]
    command = [str(python), *(script if own else [str(HERE / toolkit.script)])]
    # Threads that sleep while they wait, for all alike: with torch's own choice a toolkit was seen
    # 40 times slower on a machine that was not quite idle.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    environment |= {"OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, str(out / "job.json")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=HERE.parent.parent if own else out,
    )
    if done.returncode != 0 or not (out / "result.json").exists():
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise TrainingError(lines[-1] if lines else f"exit code {done.returncode}")


def compare(
    shape: Shape, toolkits: Mapping[str, Toolkit], given: argparse.Namespace
) -> dict[str, Outcome]:
    """All toolkits on one shape, in turns."""
    outcomes = {key: Outcome() for key in toolkits}
    pythons: dict[str, Path] = {}
    for key, toolkit in toolkits.items():
        try:
            pythons[key] = ready_python(toolkit, given.cache, install=not given.installed_only)
        except NotInstalledError as error:
            outcomes[key].problem = f"could not be installed: {error}"
    with tempfile.TemporaryDirectory(dir=given.cache) as scratch:
        data = Path(scratch) / "data"
        write_data(shape.dataset, data)
        for number in range(given.rounds):
            for key, python in pythons.items():
                outcome = outcomes[key]
                if outcome.problem:
                    continue
                try:
                    result, auc = train_once(toolkits[key], python, shape, data, given, number)
                except TrainingError as error:
                    outcome.problem = f"did not run: {error}"
                    continue
                outcome.results.append(result)
                outcome.aucs.append(auc)
            print(
                f"{shape.name}: round {number + 1} of {given.rounds}", file=sys.stderr, flush=True
            )
    return outcomes


def table(found: Mapping[str, Mapping[str, Outcome]]) -> str:
    """Shape to outcomes by toolkit, as one table."""
    rows = [
        [f"{TOOLKITS[key].label}, {shape}", *_cells(outcome)]
        for shape, outcomes in found.items()
        for key, outcome in outcomes.items()
    ]
    header = ["toolkit, data", "thousand examples/s", "test AUC"]
    return report.markdown([*header, "peak memory, MiB", "seconds to the first step"], rows)


def _cells(outcome: Outcome) -> list[str]:
    if not outcome.results:
        return [outcome.problem, report.NONE, report.NONE, report.NONE]
    return [
        report.thousands(outcome.rate),
        _mean_and_spread(outcome.aucs),
        f"{max(r.peak_bytes for r in outcome.results) / MIB:,.0f}",
        f"{outcome.first_step:.1f}",
    ]


def _mean_and_spread(values: Sequence[float]) -> str:
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{fmean(values):.4f}{spread}"


def ratios(outcomes: Mapping[str, Outcome]) -> dict[str, float | None]:
    """Ours over the fastest of the others, by optimizer."""
    others = [o.rate for key, o in outcomes.items() if TOOLKITS[key].requirement and o.rate]
    ours = {key: o.rate for key, o in outcomes.items() if not TOOLKITS[key].requirement}
    return {
        f"{TOOLKITS[key].label} ÷ the fastest toolkit": report.ratio_of(
            rate, max(others, default=None)
        )
        for key, rate in ours.items()
    }


def shapes(given: argparse.Namespace) -> Iterator[Shape]:
    """The data asked for."""
    if "seed" in given.shapes:
        dataset = seed_shape(
            given.cache, given.seed_rows, test_rows=SEED_TEST_ROWS, validation=HELD_OUT
        )
        yield Shape(f"seed's shape, {given.seed_rows:,} rows", dataset, given.seed_epochs)
    if "criteo" in given.shapes:
        tenth = given.criteo_rows // 10
        dataset = criteo_shape(
            given.cache, given.criteo_rows, test_rows=tenth, validation_rows=tenth
        )
        features = f"{dataset.vocabulary.num_features / 1e6:.2f} million features"
        yield Shape(f"Criteo's shape, {features}", dataset, given.criteo_epochs)


def main() -> None:
    """Compare on every shape and print the table."""
    given = parse()
    toolkits = {key: TOOLKITS[key] for key in chosen_keys(given.only, TOOLKITS)}
    given.cache.mkdir(parents=True, exist_ok=True)
    found = {shape.name: compare(shape, toolkits, given) for shape in shapes(given)}
    where = f"{report.machine()}, {given.threads} used"
    print(report.title(f"DeepFM end to end, batch {given.batch_size:,}", where))
    print(f"\n{table(found)}\n")
    quotients = {shape: ratios(outcomes) for shape, outcomes in found.items()}
    for shape, values in quotients.items():
        for name, value in values.items():
            print(f"{shape}: {name}: {report.times(value)}")
    figures: dict[str, Any] = {
        shape: {key: asdict(outcome) for key, outcome in outcomes.items()}
        for shape, outcomes in found.items()
    }
    report.print_json("peers", where, {"outcomes": figures, "ratios": quotients})


def parse() -> argparse.Namespace:
    """The flags; --quick shortens what is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = ["seed", "criteo"]
    parser.add_argument("--shapes", nargs="+", default=known, choices=known)
    parser.add_argument("--only", default="", metavar="KEY,KEY", help=", ".join(TOOLKITS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch-size", type=int, default=2048)
    parser.add_argument("--seed-rows", type=int, default=SEED_ROWS)
    parser.add_argument("--seed-epochs", type=int, default=30)
    parser.add_argument("--criteo-rows", type=int, default=500_000)
    parser.add_argument("--criteo-epochs", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one round, fewer rows and epochs")
    parser.add_argument(
        "--installed-only", action="store_true", help="leave out what is not installed yet"
    )
    add_cache_flag(parser)
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.seed_epochs, given.criteo_rows = 1, 2, 50_000
    return given


if __name__ == "__main__":
    main()

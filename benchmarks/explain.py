"""One impression of 39 fields to the time that each part of its explanation takes.

python -m benchmarks.explain

Models with an MLP of 30-20-10 and of 400-400-400, trained for one epoch on data of Criteo's shape
with a million features. Beside the sampled values of the network stand the same by a plain loop,
one change and one score at a time, and by Captum's and shap's samplers, installed into an
environment of their own (`--no-peers` leaves them out). Prints a Markdown table and one JSON line.
Data, models and environments are kept in `--cache`; the models are made anew with other `--rows`.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.peers.environments import NotInstalledError, Toolkit, ready_python
from benchmarks.shapes import add_cache_flag, criteo_shape
from deepfm.config import ModelConfig, TrainConfig
from deepfm.data.dataset import Dataset
from deepfm.explanation import (
    arithmetic,
    best_change,
    explain,
    more_draws,
    pair_in_training,
    smallest_flip,
    surface,
    what_if,
)
from deepfm.trained import TrainedModel, open_run
from deepfm.trained.choices import common_from

DRAWS: Final = 200
ROWS: Final = 1_000_000
NETWORKS: Final = ((30, 20, 10), (400, 400, 400))
PEERS: Final = Toolkit("Captum and shap", "", "captum==0.9.0", ("shap==0.51.0",))
LIMITS: Final = {"exact": 50.0, "deep by field": 300.0, "best change": 50.0, "pair": 100.0}
"""Milliseconds that a part may take on two cores."""


@dataclass(frozen=True)
class Part:
    """A part of an explanation: its row in the table, its key, how often it is timed."""

    label: str
    key: str
    work: Callable[[], Any]
    times: int = 15


def main() -> None:
    """Time everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_cache_flag(parser)
    parser.add_argument("--rows", type=int, default=ROWS, help="training rows of the data")
    parser.add_argument("--no-peers", action="store_true", help="without Captum and shap")
    parser.add_argument("--no-loops", action="store_true", help="without the plain loops")
    given = parser.parse_args()
    dataset = criteo_shape(given.cache, given.rows, test_rows=5_000)
    figures: dict[str, dict[str, float | None]] = {}
    labels: dict[str, str] = {}
    for widths in NETWORKS:
        model = trained(given.cache, dataset, widths)
        parts = parts_of(model, dataset) + ([] if given.no_loops else loops_of(model))
        name = "-".join(map(str, widths))
        figures[name] = {part.key: milliseconds(part) for part in parts}
        labels |= {part.key: part.label for part in parts}
        if not given.no_peers:
            figures[name] |= peers_of(model, given.cache)
            labels |= {"captum": f"deep by field, Captum, {DRAWS} rows × 2 orders"}
            labels |= {"shap": "deep by field, shap, as many evaluations"}
    device = report.machine()
    print(report.title(f"One impression, 39 fields, {given.rows:,} training rows", device) + "\n")
    print(table(figures, labels))
    report.print_json("explain", device, {"milliseconds": figures, "limits": LIMITS})


def table(figures: dict[str, dict[str, float | None]], labels: dict[str, str]) -> str:
    """One row a part, one column a network, in milliseconds."""
    rows = [
        [
            label,
            *(_shown(figures[name].get(key)) for name in figures),
            f"{LIMITS[key]:.0f}" if key in LIMITS else report.NONE,
        ]
        for key, label in labels.items()
    ]
    return report.markdown(["ms", *figures, "limit"], rows)


def _shown(figure: float | None) -> str:
    return report.NONE if figure is None else f"{figure:,.1f}"


def trained(cache: Path, dataset: Dataset, widths: tuple[int, ...]) -> TrainedModel:
    """The run of this network on this dataset; trained now where it is not there."""
    rows = len(dataset.parts["train"])
    folder = cache / f"explain-{rows}-{'-'.join(map(str, widths))}"
    if not folder.exists():
        from deepfm.training.loop import train

        plan = TrainConfig(epochs=1, batch_size=8_192, optimizer="lazy-adam", device="cpu")
        train(dataset, ModelConfig(num_factors=10, mlp_dims=widths), plan, out=folder)
    return open_run(folder)


def parts_of(model: TrainedModel, dataset: Dataset) -> list[Part]:
    """What the Impression page asks for, each once everything that is kept has been made."""
    ids, values = model.impression_ids()[0], model.impression(row=0).fields
    large, other = sorted(model.fields, key=lambda field: -field.size)[:2]
    why = explain(model, values)
    drawn = more_draws(model, why, DRAWS)
    return [
        Part("terms, by field, by pair (exact)", "exact", lambda: explain(model, values)),
        Part(
            f"deep by field, {DRAWS} draws", "deep by field", lambda: more_draws(model, why, DRAWS)
        ),
        Part(f"{DRAWS} draws more", "more draws", lambda: more_draws(model, drawn, 2 * DRAWS)),
        Part("best change of one value", "best change", lambda: best_change(model, ids)),
        Part("smallest flip", "flip", lambda: smallest_flip(model, ids, 0.999), 5),
        Part(
            f"what if: 2,000 of {large.size:,} values",
            "what if",
            lambda: what_if(model, ids, large.name),
        ),
        Part(
            "surface of 40 × 40 values",
            "surface",
            lambda: surface(model, ids, large.name, other.name),
        ),
        Part(
            "how often two values meet",
            "pair",
            lambda: pair_in_training(model, ids, model.fields[0].name, other.name, dataset),
            5,
        ),
        Part("arithmetic, every number", "arithmetic", lambda: arithmetic(model, ids)),
        Part("once a run: means of the sample", "reference", lambda: anew(model, "reference"), 5),
        Part("once a run: values to choose from", "choosable", lambda: anew(model, "choosable"), 5),
    ]


def loops_of(model: TrainedModel) -> list[Part]:
    """The same by the plainest way, one impression scored at a time."""
    ids = model.impression_ids()[0]
    return [
        Part(
            f"deep by field, {DRAWS} draws, plain loop",
            "deep by field, loop",
            lambda: deep_by_loop(model, ids),
            1,
        ),
        Part("best change, plain loop", "best change, loop", lambda: change_by_loop(model, ids), 1),
    ]


def anew(model: TrainedModel, name: str) -> None:
    """Work out again what a model keeps."""
    model.__dict__.pop(name, None)
    getattr(model, name)


def milliseconds(part: Part) -> float:
    """The median of its times, after one that is not counted where it is short."""
    if part.times > 1:
        part.work()
    seconds = []
    for _ in range(part.times):
        start = time.perf_counter()
        part.work()
        seconds.append(time.perf_counter() - start)
    return 1_000 * median(seconds)


def deep_by_loop(model: TrainedModel, ids: NDArray[np.int32]) -> NDArray[np.float64]:
    """Both directions of each order, the whole network scored after each change; float64[F]."""
    rng, fields = np.random.default_rng(0), len(ids)
    contributions = np.zeros(fields)
    for _ in range(DRAWS):
        reference = model.reference_ids[rng.integers(len(model.reference_ids))]
        order = rng.permutation(fields)
        for walk in (order, order[::-1]):
            mixed = reference.copy()
            before = model.deep(mixed[None])[0]
            for field in walk:
                mixed[field] = ids[field]
                after = model.deep(mixed[None])[0]
                contributions[field] += (after - before) / (2 * DRAWS)
                before = after
    return contributions


def change_by_loop(model: TrainedModel, ids: NDArray[np.int32]) -> float:
    """The logit of the change that is proposed: to a common value, to a rarer one if it must be."""
    own = float(model.score(ids[None]).logit[0])
    further = min if own >= 0 else max
    best: dict[bool, float] = {}
    for position, values in enumerate(model.choosable):
        for value in values:
            changed = ids.copy()
            changed[position] = value
            logit = float(model.score(changed[None]).logit[0])
            common = bool(model.vocabulary.counts[value] >= common_from(model.vocabulary))
            best[common] = further(best.get(common, own), logit)
    any_value = further(best.values())
    turned = (best.get(True, own) >= 0) != (own >= 0)
    helps = best.get(True, own) != own
    return best[True] if helps and (turned or (any_value >= 0) == (own >= 0)) else any_value


def peers_of(model: TrainedModel, cache: Path) -> dict[str, float | None]:
    """Milliseconds of Captum's and shap's sampler; None where they cannot be installed."""
    try:
        python = ready_python(PEERS, cache)
    except NotInstalledError as error:
        print(f"Captum and shap are left out: {error}")
        return {"captum": None, "shap": None}
    with tempfile.TemporaryDirectory() as folder:
        numbers = Path(folder) / "numbers.npz"
        write_numbers(model, numbers)
        script = Path(__file__).with_name("explain_peers.py")
        done = subprocess.run(
            [str(python), str(script), str(numbers)], capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
    return {name: 1_000 * found[name]["seconds"] for name in ("captum", "shap")}


def write_numbers(model: TrainedModel, path: Path) -> None:
    """The network, one impression and its reference rows, with only the embeddings they need."""
    weights, reference, ids = model.weights, model.reference_ids, model.impression_ids()[0]
    used, places = np.unique(np.vstack((ids, reference)), return_inverse=True)
    places = places.reshape(-1, len(ids))
    layers = {f"weight_{i}": layer.weight for i, layer in enumerate(weights.layers)}
    layers |= {f"bias_{i}": layer.bias for i, layer in enumerate(weights.layers)}
    np.savez(
        path,
        table=weights.deep_table[used],
        ids=places[0],
        reference=places[1:],
        layers=len(weights.layers),
        draws=DRAWS,
        threads=len(os.sched_getaffinity(0)),
        allow_pickle=False,
        **layers,
    )


if __name__ == "__main__":
    main()

"""DeepFM's training to one table of rates: the plain pipeline, ours, and the floors beside them.

python -m benchmarks.training                   (this processor: batch 2048 and 8192)
python -m benchmarks.training --device cuda     (a GPU: batch 2048 and 65,536)

All variants of a scenario take turns, each for some seconds in every round, and the median of the
rounds counts. Prints a Markdown table (thousand examples a second) and one JSON line.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any, Final, Protocol

import numpy as np
import torch

from benchmarks import floors, plain, report
from benchmarks.shapes import SEED_ROWS, add_cache_flag, chosen_keys, criteo_shape, seed_shape
from deepfm.config import ALL_GPUS, PRESETS, ModelConfig, TrainConfig
from deepfm.data.dataset import Dataset
from deepfm.errors import LimitError
from deepfm.events import Epoch, Event, Started
from deepfm.model import DeepFM
from deepfm.training.devices import choose_devices, device_name
from deepfm.training.loop import train
from deepfm.training.rows import Rows
from deepfm.training.step import PlainStep, Step, choose_step

MODEL: Final = ModelConfig.from_dict(PRESETS["d2l"].model)
MANY_ROWS: Final = 1_000_000
"""Rows of the seed's shape on a GPU, where 15,000 are less than one batch."""
WARM_UP_SECONDS: Final = 0.3


@dataclass(frozen=True)
class Scenario:
    """Data, batch size and device that all variants share.

    others   GPUs among which our steps divide a batch, beside the device
    """

    shape: str
    dataset: Dataset
    batch_size: int
    device: torch.device
    others: tuple[torch.device, ...] = ()

    @property
    def name(self) -> str:
        """As the head of a column."""
        return f"{self.shape}, batch {self.batch_size:,}"

    def config(self, optimizer: str, **values: Any) -> TrainConfig:
        """The d2l preset's training with this batch size; every row is used."""
        given = {**PRESETS["d2l"].train, "batch_size": self.batch_size, "optimizer": optimizer}
        device = ALL_GPUS if self.others else self.device.type
        given |= {"device": device, "drop_last": False, **values}
        return TrainConfig.from_dict(given)

    def model(self, *, sparse: bool = False) -> DeepFM:
        """A new model on the device, the same weights each time."""
        torch.manual_seed(0)
        return DeepFM(self.dataset.vocabulary.field_dims, MODEL, sparse=sparse).to(self.device)

    def wait(self) -> None:
        """Until the device has done what was asked of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class Measured(Protocol):
    """A variant set up for one scenario."""

    def rate(self, seconds: float) -> float:
        """Examples a second over at least so long."""
        ...


class Steps:
    """Work that yields the rows of each step, measured from outside."""

    def __init__(self, scenario: Scenario, steps: Iterator[int]) -> None:
        self._scenario = scenario
        self._steps = steps

    def rate(self, seconds: float) -> float:
        """Rows over wall time, the device's last work included."""
        self._scenario.wait()
        began, rows = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            rows += next(self._steps)
        self._scenario.wait()
        return rows / (time.perf_counter() - began)


class WholeTraining:
    """`train` itself, curves and figures included: rows over the wall time of its epochs."""

    def __init__(self, scenario: Scenario, optimizer: str) -> None:
        self._scenario = scenario
        self._optimizer = optimizer
        self._known_rate = 0.0

    def rate(self, seconds: float) -> float:
        """From the first step to the last epoch's end; the data have only a train part."""
        dataset = self._scenario.dataset
        rows = len(dataset.parts["train"])
        epochs = max(1, ceil(seconds * self._known_rate / rows))
        ends: list[float] = []

        def watch(event: Event) -> None:
            if isinstance(event, Started | Epoch):
                ends.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as folder:
            config = self._scenario.config(self._optimizer, epochs=epochs)
            train(dataset, MODEL, config, out=Path(folder) / "run", on_event=watch)
        self._known_rate = rows * epochs / (ends[-1] - ends[0])
        return self._known_rate


def _our_steps_alone(scenario: Scenario, step: Step) -> Iterator[int]:
    """Our step on batches that are ready on the device."""
    part = scenario.dataset.parts["train"]
    batches = plain.ready_batches(part, scenario.batch_size, scenario.device)
    with closing(step):
        for epoch in count(1):
            for index, (ids, labels) in enumerate(batches):
                step(ids, labels, epoch, index)
                yield len(labels)


def _our_loop(scenario: Scenario, step: Step) -> Iterator[int]:
    """Batches as a run takes them, our step, and at an epoch's end what it put off."""
    rows = Rows(scenario.dataset.parts["train"], scenario.device)
    with closing(step):
        for epoch in count(1):
            batches = rows.lookups(scenario.batch_size, 0, epoch, False)
            for index, (ids, labels) in enumerate(batches):
                step.move(ids, labels, epoch, index)
                yield len(labels)
            step.settle()


PlainWork = Callable[[plain.PlainTraining, Any, int, torch.device], Iterator[int]]
OurWork = Callable[[Scenario, Step], Iterator[int]]


def _plain(work: PlainWork, *, sparse: bool = False) -> Callable[[Scenario], Measured]:
    def set_up(scenario: Scenario) -> Measured:
        training = plain.PlainTraining(scenario.model(sparse=sparse), sparse=sparse)
        part = scenario.dataset.parts["train"]
        return Steps(scenario, work(training, part, scenario.batch_size, scenario.device))

    return set_up


def _our_plain_step(optimizer: str) -> Callable[[Scenario], Measured]:
    def set_up(scenario: Scenario) -> Measured:
        model = scenario.model(sparse=optimizer == "lazy-adam")
        step = PlainStep(model, scenario.config(optimizer))
        return Steps(scenario, _our_steps_alone(scenario, step))

    return set_up


def _ours(work: OurWork, optimizer: str) -> Callable[[Scenario], Measured]:
    def set_up(scenario: Scenario) -> Measured:
        model = scenario.model(sparse=optimizer == "lazy-adam")
        step, name = choose_step(model, scenario.config(optimizer), *scenario.others)
        print(f"  {optimizer}: {name}", file=sys.stderr, flush=True)
        return Steps(scenario, work(scenario, step))

    return set_up


def _matrix_products(scenario: Scenario) -> Measured:
    widths = floors.network_widths(len(scenario.dataset.fields), MODEL)
    work = floors.matrix_products(widths, scenario.batch_size, scenario.device)
    return Steps(scenario, work)


@dataclass(frozen=True)
class Variant:
    """One way to train, by key; `large` ones are measured on the large table only."""

    label: str
    set_up: Callable[[Scenario], Measured]
    large: bool = False


VARIANTS: Final[Mapping[str, Variant]] = {
    "plain_pipeline": Variant("plain pipeline, end to end", _plain(plain.pipeline)),
    "plain_step": Variant("plain step alone", _plain(plain.step_alone)),
    "tight_loop": Variant("tight loop of plain PyTorch", _plain(plain.tight_loop)),
    "tight_loop_sparse": Variant(
        "tight loop with SparseAdam", _plain(plain.tight_loop, sparse=True), large=True
    ),
    "our_plain_step": Variant("our plain step alone, adam", _our_plain_step("adam")),
    "our_plain_step_lazy": Variant(
        "our plain step alone, lazy-adam", _our_plain_step("lazy-adam"), large=True
    ),
    "our_step": Variant("our step alone, adam", _ours(_our_steps_alone, "adam")),
    "ours": Variant("ours end to end, adam", _ours(_our_loop, "adam")),
    "ours_train": Variant(
        "`train` all told, adam", lambda scenario: WholeTraining(scenario, "adam")
    ),
    "our_step_lazy": Variant(
        "our step alone, lazy-adam", _ours(_our_steps_alone, "lazy-adam"), large=True
    ),
    "ours_lazy": Variant("ours end to end, lazy-adam", _ours(_our_loop, "lazy-adam"), large=True),
    "ours_train_lazy": Variant(
        "`train` all told, lazy-adam",
        lambda scenario: WholeTraining(scenario, "lazy-adam"),
        large=True,
    ),
    "matrix_products": Variant("matrix products alone", _matrix_products),
}

RATIOS: Final[tuple[tuple[str, str, str], ...]] = (
    ("end to end ÷ plain pipeline, adam", "ours", "plain_pipeline"),
    ("end to end ÷ plain pipeline, lazy-adam", "ours_lazy", "plain_pipeline"),
    ("`train` all told ÷ plain pipeline, adam", "ours_train", "plain_pipeline"),
    ("`train` all told ÷ plain pipeline, lazy-adam", "ours_train_lazy", "plain_pipeline"),
    ("step ÷ plain step, adam", "our_step", "plain_step"),
    ("step ÷ plain step, lazy-adam", "our_step_lazy", "plain_step"),
    ("end to end ÷ tight loop, adam", "ours", "tight_loop"),
    ("end to end ÷ tight loop, lazy-adam", "ours_lazy", "tight_loop"),
    ("time of the step ÷ its matrix products', adam", "matrix_products", "our_step"),
    ("time of the step ÷ its matrix products', lazy-adam", "matrix_products", "our_step_lazy"),
)
"""What a ratio is called, and the variants above and below the line."""


def measure(
    scenario: Scenario, variants: Mapping[str, Variant], rounds: int, seconds: float
) -> dict[str, float]:
    """Every variant's median rate over the rounds, in which they take turns."""
    print(scenario.name, file=sys.stderr, flush=True)
    ready = {key: variant.set_up(scenario) for key, variant in variants.items()}
    for measured in ready.values():
        measured.rate(min(WARM_UP_SECONDS, seconds))
    rates: dict[str, list[float]] = {key: [] for key in ready}
    for number in range(rounds):
        for key, measured in ready.items():
            rates[key].append(measured.rate(seconds))
        print(f"  round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return {key: median(found) for key, found in rates.items()}


def memory_floors(scenario: Scenario, bandwidth: float) -> dict[str, float]:
    """Examples a second if only memory traffic took time, for each optimizer."""
    part = scenario.dataset.parts["train"]
    batches = plain.ready_batches(part, scenario.batch_size, torch.device("cpu"))[:8]
    touched = float(np.mean([len(np.unique(ids)) for ids, _ in batches]))
    rates = {}
    for key, updated in (
        ("memory_floor", float(scenario.dataset.vocabulary.num_features)),
        ("memory_floor_lazy", touched),
    ):
        fields = len(scenario.dataset.fields)
        moved = floors.traffic(scenario.batch_size, fields, touched, updated, MODEL)
        rates[key] = scenario.batch_size * bandwidth / moved.total
    return rates


MEMORY_LABELS: Final = {
    "memory_floor": "memory traffic alone, adam",
    "memory_floor_lazy": "memory traffic alone, lazy-adam",
}


def ratios(rates: Mapping[str, float]) -> dict[str, float | None]:
    """The ratios whose two figures are there, by name; None for the others."""
    return {
        name: report.ratio_of(rates.get(above), rates.get(below)) for name, above, below in RATIOS
    }


def table(results: Mapping[str, Mapping[str, float]]) -> str:
    """Scenario to rates by key, as one table: rates, then ratios; empty rows are left out."""
    labels = {key: variant.label for key, variant in VARIANTS.items()} | MEMORY_LABELS
    rows = [
        [label, *(report.thousands(rates.get(key)) for rates in results.values())]
        for key, label in labels.items()
    ]
    quotients = [ratios(rates) for rates in results.values()]
    rows += [[name, *(report.times(found[name]) for found in quotients)] for name, _, _ in RATIOS]
    told = [row for row in rows if any(cell != report.NONE for cell in row[1:])]
    return report.markdown(["thousand examples/s", *results], told)


def scenarios(
    given: argparse.Namespace, device: torch.device, *others: torch.device
) -> Iterator[Scenario]:
    """Shape by batch size, as the flags ask for."""
    many = MANY_ROWS if device.type == "cuda" else given.seed_rows
    sizes = given.batch_sizes or ([2048, 65_536] if device.type == "cuda" else [2048, 8192])
    if "seed" in given.shapes:
        for batch_size in sizes:
            rows = given.seed_rows if batch_size <= given.seed_rows else many
            dataset = seed_shape(given.cache, rows)
            yield Scenario(f"seed's shape, {rows:,} rows", dataset, batch_size, device, others)
    if "criteo" in given.shapes:
        dataset = criteo_shape(given.cache, given.criteo_rows, log_rows=given.log_rows)
        features = f"{dataset.vocabulary.num_features / 1e6:.2f} million features"
        for batch_size in sizes:
            yield Scenario(f"Criteo's shape, {features}", dataset, batch_size, device, others)


def chosen_variants(only: str, shape: str) -> dict[str, Variant]:
    """The variants asked for by key (all without any) that are for this shape."""
    large = shape.startswith("Criteo")
    wanted = chosen_keys(only, VARIANTS)
    return {key: VARIANTS[key] for key in wanted if large or not VARIANTS[key].large}


def main() -> None:
    """Measure every scenario and print the table."""
    given = parse()
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        devices = choose_devices(given.device)
    except LimitError as error:
        raise SystemExit(str(error)) from error
    device = devices[0]
    results: dict[str, dict[str, float]] = {}
    bandwidth = floors.copy_bandwidth(device) if device.type == "cuda" else None
    for scenario in scenarios(given, *devices):
        variants = chosen_variants(given.only, scenario.shape)
        rates = measure(scenario, variants, given.rounds, given.seconds)
        if bandwidth:
            rates |= memory_floors(scenario, bandwidth)
        results[scenario.name] = rates
    where = device_name(*devices) if device.type == "cuda" else report.machine()
    threads = torch.get_num_threads()
    print(report.title(f"DeepFM training (K 10, MLP 30-20-10, torch {torch.__version__})", where))
    print(f"\n{table(results)}\n")
    report.print_json(
        "training",
        where,
        {
            "threads": threads,
            "rounds": given.rounds,
            "seconds": given.seconds,
            "copy_bytes_per_second": bandwidth,
            "rates": results,
            "ratios": {name: ratios(rates) for name, rates in results.items()},
        },
    )


def parse() -> argparse.Namespace:
    """The flags; --quick shortens what is not given otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", ALL_GPUS))
    parser.add_argument(
        "--threads", type=int, default=0, help="of torch; by default its own choice"
    )
    parser.add_argument("--rounds", type=int, help="default 5, quick 2")
    parser.add_argument("--seconds", type=float, help="of a variant in a round: 2.5, quick 0.5")
    parser.add_argument("--only", default="", metavar="KEY,KEY", help=", ".join(VARIANTS))
    parser.add_argument(
        "--shapes", nargs="+", default=["seed", "criteo"], choices=("seed", "criteo")
    )
    parser.add_argument("--batch-sizes", type=int, nargs="+")
    parser.add_argument("--seed-rows", type=int, default=SEED_ROWS)
    parser.add_argument("--criteo-rows", type=int, default=500_000)
    parser.add_argument(
        "--log-rows", type=int, default=45_840_617, help="decides the features of Criteo's shape"
    )
    parser.add_argument("--quick", action="store_true", help="a first impression in a minute")
    add_cache_flag(parser)
    given = parser.parse_args()
    given.rounds = given.rounds or (2 if given.quick else 5)
    given.seconds = given.seconds or (0.5 if given.quick else 2.5)
    return given


if __name__ == "__main__":
    main()

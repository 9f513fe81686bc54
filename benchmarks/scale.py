"""A memory-mapped dataset of Criteo Kaggle's shape to one epoch, and the memory that it took.

python -m benchmarks.scale                        (45.8 million rows: 7 GB of disk)
python -m benchmarks.scale --rows 1000000

The data are made in a process of its own and kept in the cache folder; so is the training. What
counts is RssAnon, the memory of the process itself; mapped pages belong to the system. It grows by
4 bytes a training row for their order, by 5 for the AUC of the train curve until it is taken from
a histogram (4 million rows), and by some 30 bytes a test row. Prints a Markdown table and one JSON
line.
"""

import argparse
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks import criteo, report
from benchmarks.memory import MIB, AnonymousPeak, in_own_process, status
from benchmarks.shapes import add_cache_flag, criteo_shape
from deepfm.config import PRESETS, ModelConfig, TrainConfig
from deepfm.data.dataset import Dataset, open_dataset
from deepfm.events import Epoch, Event, Finished, Progress, Started
from deepfm.model import DeepFM
from deepfm.training.loop import train
from deepfm.training.rows import score

MODEL = ModelConfig.from_dict(PRESETS["d2l"].model)


@dataclass(frozen=True)
class Outcome:
    """What one training took; memory is RssAnon in bytes.

    imported              before the dataset was opened, torch and all imported
    training, evaluation  peaks of `train`, and of scoring the test rows once more, in blocks
    seconds               from the start of `train` to the first step, and of the whole of it
    """

    step: str
    device: str
    rows: int
    test_rows: int
    features: int
    examples_per_second: float
    step_examples_per_second: float
    rows_scored_per_second: float
    first_step_seconds: float
    seconds: float
    auc: float | None
    best_possible_auc: float | None
    imported: int
    training: int
    evaluation: int
    mapped: int


def run(dataset: Dataset, config: TrainConfig, imported: int) -> Outcome:
    """Train once, score the test part once, watching the memory of this process."""
    began = time.perf_counter()
    started: list[Started] = []
    first_step: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, Started):
            started.append(event)
        elif not isinstance(event, Progress | Finished) and not first_step:
            first_step.append(time.perf_counter() - began)
        if isinstance(event, Epoch):
            print(f"epoch {event.epoch}: {event.examples_per_second:,.0f} examples/s", flush=True)

    with tempfile.TemporaryDirectory() as folder, AnonymousPeak() as training:
        result = train(dataset, MODEL, config, out=Path(folder) / "run", on_event=watch).result
    seconds = time.perf_counter() - began
    with AnonymousPeak() as evaluation:
        rows_scored_per_second = score_all(dataset)
    return Outcome(
        step=started[0].step,
        device=started[0].device,
        rows=started[0].train_rows,
        test_rows=started[0].test_rows,
        features=dataset.vocabulary.num_features,
        examples_per_second=result.examples_per_second,
        step_examples_per_second=result.step_examples_per_second,
        rows_scored_per_second=rows_scored_per_second,
        first_step_seconds=first_step[0],
        seconds=seconds,
        auc=result.auc,
        best_possible_auc=started[0].best_possible_auc,
        imported=imported,
        training=training.bytes,
        evaluation=evaluation.bytes,
        mapped=status("RssFile"),
    )


def run_folder(folder: Path, config: TrainConfig) -> Outcome:
    """`run` with a dataset folder, to be called in a process of its own."""
    return run(open_dataset(folder), config, status("RssAnon"))


def score_all(dataset: Dataset) -> float:
    """Rows a second of scoring the test part in blocks, by a new model of the same size."""
    device = torch.device("cpu")
    model = DeepFM(dataset.vocabulary.field_dims, MODEL)
    ids = dataset.parts["test"].ids
    began = time.perf_counter()
    score(model, ids, device)
    return len(ids) / (time.perf_counter() - began)


def table(outcome: Outcome) -> str:
    """One figure a line."""
    figures = [
        ("rows, test rows", f"{outcome.rows:,}, {outcome.test_rows:,}"),
        ("features", f"{outcome.features:,}"),
        ("step", outcome.step),
        ("thousand examples/s, end to end", report.thousands(outcome.examples_per_second)),
        ("thousand examples/s, step alone", report.thousands(outcome.step_examples_per_second)),
        ("thousand rows/s, evaluation in blocks", report.thousands(outcome.rows_scored_per_second)),
        ("seconds to the first step", f"{outcome.first_step_seconds:.1f}"),
        ("seconds of the whole run", f"{outcome.seconds:.0f}"),
        ("test AUC", _auc(outcome.auc)),
        ("test AUC of the true probabilities", _auc(outcome.best_possible_auc)),
        ("own memory with torch imported, MiB", f"{outcome.imported / MIB:,.0f}"),
        ("own memory, peak of the run, MiB", f"{outcome.training / MIB:,.0f}"),
        ("own memory, peak of evaluation, MiB", f"{outcome.evaluation / MIB:,.0f}"),
        ("pages of mapped files at the end, MiB", f"{outcome.mapped / MIB:,.0f}"),
    ]
    return report.markdown(["Criteo's shape, memory-mapped", ""], figures)


def _auc(value: float | None) -> str:
    return report.NONE if value is None else f"{value:.4f}"


def main() -> None:
    """Make the data, train, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=criteo.FULL_ROWS)
    parser.add_argument("--test-rows", type=int, default=1_000_000)
    parser.add_argument("--log-rows", type=int, default=criteo.FULL_ROWS, help="decides features")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=2048)
    parser.add_argument("--optimizer", default="lazy-adam", choices=("adam", "lazy-adam"))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    add_cache_flag(parser)
    given = parser.parse_args()
    began = time.perf_counter()
    sizes = (given.cache, given.rows, given.test_rows, given.log_rows)
    folder = in_own_process(make_data, *sizes)
    print(f"the data are there after {time.perf_counter() - began:.0f} s", flush=True)
    config = TrainConfig.from_dict(
        {
            **PRESETS["d2l"].train,
            "epochs": given.epochs,
            "batch_size": given.batch_size,
            "optimizer": given.optimizer,
            "device": given.device,
        }
    )
    outcome = in_own_process(run_folder, folder, config)
    where = report.machine() if given.device == "cpu" else outcome.device
    print(report.title("Scale", where))
    print(f"\n{table(outcome)}\n")
    report.print_json("scale", where, {"config": config.to_dict(), **asdict(outcome)})


def make_data(cache: Path, rows: int, test_rows: int, log_rows: int) -> Path:
    """Write the dataset folder unless it is there."""
    return criteo_shape(cache, rows, test_rows=test_rows, log_rows=log_rows).folder


if __name__ == "__main__":
    main()

"""Small models and real small trainings, and Shapley values by all subsets to hold them against."""

import itertools
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepfm.config import ModelConfig, PrepareConfig, TrainConfig
from deepfm.data.dataset import Dataset, prepare
from deepfm.trained import TrainedModel, open_run
from tests.unit.run_folders import RunSpec, random_ids, write_run

Values = NDArray[np.float64]


def open_small(folder: Path, **changes: Any) -> TrainedModel:
    """Six fields and 30 reference rows: small enough to enumerate all subsets."""
    model = {"num_factors": 4, "mlp_dims": (6, 5), **changes}
    spec = RunSpec(
        model=ModelConfig(**model), categorical=(4, 3, 5, 2, 3), reference_rows=30, seed=3
    )
    return open_run(write_run(folder, spec))


def one_impression(model: TrainedModel, seed: int = 8) -> NDArray[np.int32]:
    """Features drawn at random, int32[F]."""
    return random_ids(model.vocabulary, 1, seed)[0]


def brute_force(
    value: Callable[[NDArray[np.int32]], Values],
    ids: NDArray[np.int32],
    reference: NDArray[np.int32],
) -> Values:
    """Shapley values by all subsets of fields, averaged over all reference rows; float64[F]."""
    fields = len(ids)
    worth = {}
    for size in range(fields + 1):
        for present in itertools.combinations(range(fields), size):
            mixed = np.array(reference)
            mixed[:, present] = ids[list(present)]
            worth[present] = float(value(mixed).mean())
    result = np.zeros(fields)
    for field in range(fields):
        for present in worth:
            if field not in present:
                weight = math.factorial(len(present)) * math.factorial(fields - len(present) - 1)
                gained = worth[tuple(sorted((*present, field)))] - worth[present]
                result[field] += weight / math.factorial(fields) * gained
    return result


def by_field(values: dict[str, float] | None) -> Values:
    """The values of a dict of fields, float64[F]."""
    assert values is not None
    return np.array(list(values.values()))


def clicks_dataset(folder: Path, rows: int = 4_000, name: str = "Clicks") -> Dataset:
    """Five fields: site and ad work as a pair, device alone, price hardly, noise not at all."""
    draw = random.Random(4)
    lines = ["click,site,ad,device,price,noise"]
    for _ in range(rows):
        site, ad, device = draw.randrange(5), draw.randrange(4), draw.choice(("phone", "tv"))
        price, noise = draw.randrange(200) / 10, draw.randrange(6)
        logit = -1.2 + 2.4 * (site % 4 == ad) + 0.6 * (device == "phone") + 0.01 * price
        clicked = draw.random() < 1 / (1 + math.exp(-logit))
        lines.append(f"{clicked:d},site {site},ad {ad},{device},{price},n{noise}")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "clicks.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = PrepareConfig(min_count=1, validation=0.03)
    return prepare(file, out=folder / "dataset", name=name, config=config)


def trained_on(dataset: Dataset, folder: Path, epochs: int = 1, **changes: Any) -> TrainedModel:
    """A small model that was really trained, on the CPU."""
    from deepfm.training.loop import train

    model = ModelConfig(**{"num_factors": 4, "mlp_dims": (8, 6), **changes})
    plan = TrainConfig(epochs=epochs, batch_size=128, device="cpu")
    train(dataset, model, plan, out=folder)
    return open_run(folder)

"""Networks that say exactly what a table says: effects of one, two or three fields, by hand."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from deepfm.config import TERM_SETS, ModelConfig
from deepfm.trained import TrainedModel, open_run
from tests.unit.run_folders import RunSpec, random_tensors, vocabulary_of, write_run

Tables = Mapping[tuple[int, ...], NDArray[np.float64]]
"""Fields to what their values say by meeting, one axis a field."""


def write_tabled(
    folder: Path,
    sizes: tuple[int, ...],
    tables: Tables,
    *,
    reference_rows: int = 400,
    terms: tuple[str, ...] = TERM_SETS["DNN"],
    seed: int = 0,
) -> TrainedModel:
    """A run whose deep branch is the sum of the tables; field i is word_i with sizes[i] features.

    An embedding is a one-hot vector, and a hidden unit is 1 where all its values meet, else 0:
    relu(Σ one-hots − (n − 1)). The reference has uneven marginals, and every feature in it.
    """
    units = sum(table.size for table in tables.values())
    model = ModelConfig(
        num_factors=max(sizes), mlp_dims=(units,), terms=terms, shared_embedding=False
    )
    spec = RunSpec(model=model, categorical=tuple(size - 1 for size in sizes), numeric=False)
    write_run(folder, spec)
    vocabulary = vocabulary_of(spec)
    tensors = random_tensors(vocabulary, model, 0.3, seed)
    tensors["deep.table"] = np.concatenate(
        [np.eye(max(sizes), dtype=np.float32)[:size] for size in sizes]
    )
    inputs = np.zeros((units, len(sizes) * max(sizes)), np.float32)
    bias, outputs, unit = np.zeros(units, np.float32), np.zeros((1, units), np.float32), 0
    for fields, table in tables.items():
        for values in itertools.product(*(range(sizes[field]) for field in fields)):
            for field, value in zip(fields, values, strict=True):
                inputs[unit, field * max(sizes) + value] = 1
            bias[unit], outputs[0, unit] = 1 - len(fields), table[values]
            unit += 1
    tensors |= {"mlp.0.weight": inputs, "mlp.0.bias": bias, "mlp.1.weight": outputs}
    tensors["mlp.1.bias"] = np.zeros(1, np.float32)
    save_file(tensors, folder / "model.safetensors")
    np.save(folder / "reference.npy", uneven_rows(sizes, reference_rows, seed))
    return open_run(folder)


def uneven_rows(sizes: tuple[int, ...], rows: int, seed: int) -> NDArray[np.int32]:
    """int32[rows, F], each feature at least once, the later ones of a field more often."""
    rng = np.random.default_rng([seed, 9])
    columns, offset = [], 0
    for size in sizes:
        shares = np.arange(1, size + 1) + 2.0
        column = rng.choice(size, rows, p=shares / shares.sum())
        column[:size] = np.arange(size)
        columns.append(offset + rng.permutation(column))
        offset += size
    return np.stack(columns, axis=1).astype(np.int32)


def centred(table: NDArray[np.float64], shares: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """A table without what any fewer of its fields say, at these shares of their values."""
    for axis, weights in enumerate(shares):
        table = table - np.average(table, axis=axis, weights=weights, keepdims=True)
    return table


def shares_of(model: TrainedModel) -> list[NDArray[np.float64]]:
    """How often each feature of each field stands in the reference rows."""
    found = []
    for number, field in enumerate(model.fields):
        counts = np.bincount(model.reference_ids[:, number] - field.offset, minlength=field.size)
        found.append(counts / counts.sum())
    return found


def exact_parts(model: TrainedModel) -> dict[tuple[int, ...], NDArray[np.float64]]:
    """Functional analysis of variance by enumeration: fields to their effect, one axis a field.

    Every combination of features is scored; the effect of a set of fields is the mean over all
    others, minus the effects of all its proper subsets.
    """
    shares, sizes = shares_of(model), [field.size for field in model.fields]
    everything = np.array(list(itertools.product(*map(range, sizes))))
    offsets = np.array([field.offset for field in model.fields])
    scores = model.weights.deep((everything + offsets).astype(np.int32)).reshape(sizes)
    parts: dict[tuple[int, ...], NDArray[np.float64]] = {}
    for order in range(len(sizes) + 1):
        for fields in itertools.combinations(range(len(sizes)), order):
            effect = scores
            for axis in range(len(sizes)):
                if axis not in fields:
                    effect = np.average(effect, axis=axis, weights=shares[axis], keepdims=True)
            for smaller, known in parts.items():
                if set(smaller) < set(fields):
                    effect = effect - known
            parts[fields] = effect
    return parts


def exact_variances(model: TrainedModel) -> dict[int, float]:
    """Number of fields to the variance of all effects of just so many fields."""
    shares, found = shares_of(model), dict.fromkeys(range(len(model.fields) + 1), 0.0)
    for fields, effect in exact_parts(model).items():
        squares = effect**2
        for axis in reversed(range(len(shares))):
            weights = shares[axis] if axis in fields else np.ones(1)
            squares = np.average(squares, axis=axis, weights=weights)
        if fields:
            found[len(fields)] += float(squares)
    return found

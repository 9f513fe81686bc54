"""A second writing of the run folder: small random models, written file by file by hand."""

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from safetensors.numpy import save_file

from deepfm.config import TERM_SETS, ModelConfig, TrainConfig
from deepfm.data.schema import Column, FileFormat, Schema
from deepfm.data.vocabulary import CategoricalValues, NumericBuckets, Vocabulary
from deepfm.events import Finished, Notice, to_json

ALL_MODELS: dict[str, dict[str, Any]] = {
    **{name: {"terms": terms} for name, terms in TERM_SETS.items()},
    "DeepFM, separate": {"shared_embedding": False},
    "DNN, separate": {"terms": TERM_SETS["DNN"], "shared_embedding": False},
    "Wide & Deep, separate": {"terms": TERM_SETS["Wide & Deep"], "shared_embedding": False},
    "DeepFM, tanh": {"activation": "tanh"},
    "DeepFM, one layer": {"mlp_dims": (7,)},
}
"""Every term set, and what changes how the network is computed."""

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "glade", "heath")


@dataclass
class RunSpec:
    """What a synthetic run should be like."""

    model: ModelConfig = field(default_factory=ModelConfig)
    categorical: tuple[int, ...] = (4, 3, 5, 2)
    """Kept values of each categorical field."""
    numeric: bool = True
    rows: dict[str, int] = field(default_factory=lambda: {"test": 60, "validation": 50})
    reference_rows: int = 40
    kept: int = 1_000
    """Raw rows kept of each part."""
    truth: bool = False
    weight_scale: float = 0.6
    seed: int = 0


def vocabulary_of(spec: RunSpec) -> Vocabulary:
    """Fields word_0 …, then price (numeric) last."""
    rng = np.random.default_rng(spec.seed + 1)
    parts: list[CategoricalValues | NumericBuckets] = []
    for i, size in enumerate(spec.categorical):
        texts = sorted(
            f"{WORDS[j % len(WORDS)]}" + ("" if j < len(WORDS) else f"_{j}") for j in range(size)
        )
        counts = rng.integers(5, 100, size + 1)
        parts.append(CategoricalValues(f"word_{i}", pa.array(texts), counts, counts // 4, size + 2))
    if spec.numeric:
        edges = np.array([1.0, 2.5, 10.0])
        counts = rng.integers(5, 100, len(edges) + 3)
        parts.append(NumericBuckets("price", edges, counts, counts // 4, 50))
    return Vocabulary.of(parts)


def random_ids(vocabulary: Vocabulary, rows: int, seed: int) -> NDArray[np.int32]:
    """int32[rows, F], each feature of a field equally often."""
    rng = np.random.default_rng(seed)
    return np.stack(
        [rng.integers(f.offset, f.offset + f.size, rows) for f in vocabulary.fields], axis=1
    ).astype(np.int32)


def random_tensors(
    vocabulary: Vocabulary, model: ModelConfig, scale: float, seed: int
) -> dict[str, NDArray[np.float32]]:
    """Tensors under their names in model.safetensors."""
    rng = np.random.default_rng(seed)
    features, factors = vocabulary.num_features, model.num_factors
    shapes: dict[str, tuple[int, ...]] = {}
    if "linear" in model.terms:
        shapes |= {"linear.table": (features,), "linear.scale": (1,), "linear.bias": (1,)}
    if "pairwise" in model.terms or ("deep" in model.terms and model.shared_embedding):
        shapes["factors.table"] = (features, factors)
    if "deep" in model.terms:
        if not model.shared_embedding:
            shapes["deep.table"] = (features, factors)
        widths = [len(vocabulary.fields) * factors, *model.mlp_dims, 1]
        for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
            shapes[f"mlp.{i}.weight"] = (outputs, inputs)
            shapes[f"mlp.{i}.bias"] = (outputs,)
    return {
        name: (scale * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()
    }


def slow_terms(
    tensors: dict[str, NDArray[np.float32]], model: ModelConfig, ids: NDArray[np.int32]
) -> NDArray[np.float64]:
    """linear, pairwise, deep of one impression int32[F], in float64 and by plain loops."""
    linear = pairwise = deep = 0.0
    if "linear" in model.terms:
        total = sum(float(tensors["linear.table"][i]) for i in ids)
        linear = float(tensors["linear.scale"][0]) * total + float(tensors["linear.bias"][0])
    if "pairwise" in model.terms:
        vectors = tensors["factors.table"].astype(np.float64)
        pairwise = sum(
            float(vectors[i] @ vectors[j]) for i, j in itertools.combinations(ids.tolist(), 2)
        )
    if "deep" in model.terms:
        table = tensors["factors.table" if model.shared_embedding else "deep.table"]
        hidden = np.concatenate([table[i] for i in ids]).astype(np.float64)
        last = len(model.mlp_dims)
        for layer in range(last + 1):
            weight = tensors[f"mlp.{layer}.weight"].astype(np.float64)
            hidden = weight @ hidden + tensors[f"mlp.{layer}.bias"]
            if layer < last:
                hidden = np.tanh(hidden) if model.activation == "tanh" else hidden.clip(min=0)
        deep = float(hidden[0])
    return np.array([linear, pairwise, deep])


def schema_of(vocabulary: Vocabulary) -> Schema:
    """label first, then the fields, then a column that the model does not see."""
    return Schema(
        format=FileFormat("text", separator=",", header=True),
        columns=(
            Column("clicked", "label", "by name"),
            *(Column(f.name, f.role, "by its values") for f in vocabulary.fields),
            Column("row", "ignored", "chosen by you"),
        ),
        positive=("1",),
        negative=("0",),
    )


def write_run(folder: Path, spec: RunSpec | None = None) -> Path:
    """A whole run folder; the labels follow the model's own probabilities."""
    spec = spec or RunSpec()
    folder.mkdir(parents=True)
    vocabulary = vocabulary_of(spec)
    vocabulary.save(folder)
    tensors = random_tensors(vocabulary, spec.model, spec.weight_scale, spec.seed + 2)
    save_file(tensors, folder / "model.safetensors")
    np.save(folder / "reference.npy", random_ids(vocabulary, spec.reference_rows, spec.seed + 3))
    _write_json(folder / "schema.json", schema_of(vocabulary).to_dict())
    part = next(iter(spec.rows))
    _write_json(folder / "config.json", _config(spec, vocabulary, part))
    result = Finished(3, 2, 1.5, 1e5, 2e5, part, spec.rows[part], *[0.5] * 5)
    _write_json(folder / "result.json", result.__dict__)
    _write_json(folder / "environment.json", {"python": "3.11.0", "device": "CPU", "seed": 0})
    events = [Notice("memorising", "It is memorising."), result]
    (folder / "metrics.jsonl").write_text("".join(to_json(event) + "\n" for event in events))
    _write_rows(folder, spec, vocabulary, tensors)
    return folder


def _config(spec: RunSpec, vocabulary: Vocabulary, part: str) -> dict[str, Any]:
    ids = random_ids(vocabulary, 1, spec.seed + 4)[0]
    return {
        "version": 1,
        "model": spec.model.to_dict(),
        "train": TrainConfig().to_dict(),
        "dataset": {"name": "Small words", "fingerprint": "abc123"},
        "pinned": [vocabulary.decode(ids)],
        "part": part,
    }


def _write_rows(
    folder: Path,
    spec: RunSpec,
    vocabulary: Vocabulary,
    tensors: dict[str, NDArray[np.float32]],
) -> None:
    scores, impressions, all_ids = [], [], []
    for number, (part, rows) in enumerate(spec.rows.items()):
        rng = np.random.default_rng(spec.seed + 5 + number)
        ids = random_ids(vocabulary, rows, spec.seed + 10 + number)
        terms = np.array([slow_terms(tensors, spec.model, row) for row in ids])
        probability = 1 / (1 + np.exp(-terms.sum(axis=1)))
        labels = (rng.random(rows) < probability).astype(np.float32)
        index = {"part": pa.array([part] * rows), "row": pa.array(range(rows), pa.int64())}
        scores.append(
            pa.table(
                {
                    **index,
                    "linear": terms[:, 0].astype(np.float32),
                    "pairwise": terms[:, 1].astype(np.float32),
                    "deep": terms[:, 2].astype(np.float32),
                    "label": labels,
                    "truth": pa.array(probability.astype(np.float32))
                    if spec.truth
                    else pa.nulls(rows, pa.float32()),
                }
            )
        )
        decoded = [vocabulary.decode(row) for row in ids[: spec.kept]]
        raw = {
            "value:clicked": [str(int(label)) for label in labels[: spec.kept]],
            **{f"value:{f.name}": [row[f.name] for row in decoded] for f in vocabulary.fields},
            "value:row": [f"file row {i}" for i in range(len(decoded))],
        }
        impressions.append(
            pa.table({name: each[: spec.kept] for name, each in index.items()} | raw)
        )
        all_ids.append(ids[: spec.kept])
    pq.write_table(pa.concat_tables(scores), folder / "scores.parquet")
    pq.write_table(pa.concat_tables(impressions), folder / "impressions.parquet")
    np.save(folder / "impression_ids.npy", np.concatenate(all_ids))


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")

"""A trained model to an ONNX file whose outputs are the terms, the logit and the probability.

Input    ids          int32 or int64 [N, F]  feature indices, as TrainedModel.encode gives them
Outputs  linear, pairwise, deep, logit, probability   float32[N] each

The graph is made from the run folder's arrays alone, without torch, and then, where onnxruntime is
installed, held against the model's own scores of rows that the run keeps.
"""

import importlib.util
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import ConfigError, DataError, RunError
from deepfm.terms import TERM_NAMES
from deepfm.trained import TrainedModel, Weights
from deepfm.trained.weights import Ids

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

OUTPUTS: Final = (*TERM_NAMES, "logit", "probability")
ID_TYPES: Final = ("int32", "int64")
OPSET: Final = 17
IR_VERSION: Final = 8
"""Old enough for runtimes of 2022; nothing newer is needed."""
LARGEST_FILE: Final = 1_500_000_000
"""Bytes of arrays beyond which they go into a file beside the graph: protobuf ends at 2 GB."""
CHECKED_ROWS: Final = 2_000
TOLERANCE: Final = 1e-4
"""How far an output may lie from the model's own, over 1 + its size: float32 adds up otherwise."""


@dataclass(frozen=True)
class OnnxExport:
    """What was written, and how far its outputs lie from the model's own.

    files               the graph, and a file of arrays beside it where they are large
    checked_rows        rows that were scored both ways; 0 without onnxruntime
    largest_difference  of any output in any of them; None without
    """

    files: tuple[Path, ...]
    checked_rows: int
    largest_difference: float | None


def export_onnx(model: TrainedModel, out: Path | str, ids: str = "int64") -> OnnxExport:
    """Write the model to `out`, and check it where onnxruntime is installed.

    ids  the type of the input, int32 or int64
    The file appears when it is whole and, where it can be, checked. ConfigError without the package
    onnx or for another type, DataError where it cannot be written, RunError where onnxruntime
    computes something else.
    """
    if ids not in ID_TYPES:
        raise ConfigError(f"Feature indices in ONNX are {' or '.join(ID_TYPES)}, not {ids!r}.")
    out = Path(out)
    proto = onnx_model(model, ids)
    try:
        with tempfile.TemporaryDirectory(prefix=".onnx-", dir=out.parent) as aside:
            written = _save(proto, Path(aside) / out.name)
            rows, difference = _check(model, written[0], ids)
            for file in reversed(written):
                file.replace(out.parent / file.name)
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {error.strerror or error}. Choose another place."
        ) from error
    return OnnxExport(tuple(out.parent / file.name for file in written), rows, difference)


def onnx_model(model: TrainedModel, ids: str = "int64") -> "ModelProto":
    """The graph with its arrays, in memory; ConfigError without the package onnx."""
    if importlib.util.find_spec("onnx") is None:
        raise ConfigError(
            "Writing ONNX needs the package onnx. Install it by: pip install onnx onnxruntime "
            "(the second checks what was written)."
        )
    from onnx import TensorProto, helper

    graph = _Graph()
    _add_terms(graph, model)
    graph.add("Sum", TERM_NAMES, "logit")
    graph.add("Sigmoid", ("logit",), "probability")
    kind = TensorProto.INT32 if ids == "int32" else TensorProto.INT64
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "DeepFM",
            [helper.make_tensor_value_info("ids", kind, ["N", len(model.fields)])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in OUTPUTS],
            initializer=graph.arrays,
        ),
        producer_name="DeepFM Lab",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        doc_string="Click probability of impressions. ids: one feature index a field, in the order "
        "of the metadata `fields`; the last index of a field is its default, rare or unseen.",
    )
    helper.set_model_props(proto, _metadata(model))
    return proto


def _metadata(model: TrainedModel) -> dict[str, str]:
    """What a program that scores with the graph has to know, as text."""
    fields = [
        {"name": each.name, "role": each.role, "offset": each.offset, "size": each.size}
        for each in model.fields
    ]
    return {
        "fields": json.dumps(fields, ensure_ascii=False),
        "model": model.model.name,
        "config": json.dumps(model.model.to_dict()),
        "dataset_fingerprint": model.dataset_fingerprint,
    }


@dataclass
class _Graph:
    """Nodes in their order and the arrays that they read."""

    nodes: list["NodeProto"] = field(default_factory=list)
    arrays: list["TensorProto"] = field(default_factory=list)

    def add(self, operator: str, inputs: tuple[str, ...], output: str, **settings: Any) -> str:
        """One node; returns the name of its output."""
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [output], **settings))
        return output

    def array(self, name: str, values: NDArray[Any]) -> str:
        """An array under a name; returns the name."""
        from onnx import numpy_helper

        self.arrays.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name


def _add_terms(graph: _Graph, model: TrainedModel) -> None:
    terms, weights = model.model.terms, model.weights
    pairwise, deep = "pairwise" in terms, "deep" in terms
    graph.array("over_fields", np.array([1], np.int64))
    if "linear" in terms:
        _add_linear(graph, weights)
    if pairwise:
        graph.array("factors.table", weights.factors)
        _add_pairwise(graph, graph.add("Gather", ("factors.table", "ids"), "factors"))
    if deep:
        shared = pairwise and weights.deep_table is weights.factors
        table = "factors.table" if shared else graph.array("deep.table", weights.deep_table)
        embeddings = "factors" if shared else graph.add("Gather", (table, "ids"), "embeddings")
        _add_deep(graph, weights, embeddings)
    for name in TERM_NAMES:
        if name not in terms:
            _add_nothing(graph, name)


def _add_linear(graph: _Graph, weights: Weights) -> None:
    """a · Σ_i w[x_i] + b."""
    graph.array("linear.effects", weights.linear_effects.astype(np.float32))
    graph.array("linear.bias", np.array(weights.linear_bias, np.float32))
    graph.add("Gather", ("linear.effects", "ids"), "linear.by_field")
    graph.add("ReduceSum", ("linear.by_field", "over_fields"), "linear.sum", keepdims=0)
    graph.add("Add", ("linear.sum", "linear.bias"), "linear")


def _add_pairwise(graph: _Graph, factors: str) -> None:
    """½ Σ_k [(Σ_i v_ik)² − Σ_i v_ik²], by Rendle 2010, Lemma 3.1."""
    graph.array("half", np.array(0.5, np.float32))
    graph.add("ReduceSum", (factors, "over_fields"), "factor_sum", keepdims=0)
    graph.add("Mul", ("factor_sum", "factor_sum"), "square_of_sum")
    graph.add("Mul", (factors, factors), "squares")
    graph.add("ReduceSum", ("squares", "over_fields"), "sum_of_squares", keepdims=0)
    graph.add("Sub", ("square_of_sum", "sum_of_squares"), "twice_by_factor")
    graph.add("ReduceSum", ("twice_by_factor", "over_fields"), "twice_pairwise", keepdims=0)
    graph.add("Mul", ("half", "twice_pairwise"), "pairwise")


def _add_deep(graph: _Graph, weights: Weights, embeddings: str) -> None:
    """The MLP over [v_1; …; v_F]; dropout is a matter of training."""
    inputs = weights.num_fields * weights.deep_table.shape[1]
    graph.array("mlp.input_shape", np.array([0, inputs], np.int64))  # 0: as many rows as before
    hidden = graph.add("Reshape", (embeddings, "mlp.input_shape"), "mlp.input")
    activation = "Tanh" if weights.activation == "tanh" else "Relu"
    for i, layer in enumerate(weights.layers):
        if i:
            hidden = graph.add(activation, (hidden,), f"mlp.{i - 1}.active")
        weight = graph.array(f"mlp.{i}.weight", layer.weight)
        bias = graph.array(f"mlp.{i}.bias", layer.bias)
        hidden = graph.add("Gemm", (hidden, weight, bias), f"mlp.{i}.output", transB=1)
    graph.add("Squeeze", (hidden, "over_fields"), "deep")


def _add_nothing(graph: _Graph, name: str) -> None:
    """A term that the model does not have: zeros, as many as there are rows."""
    from onnx import numpy_helper

    rows = graph.add("Shape", ("ids",), f"{name}.rows", start=0, end=1)
    zero = numpy_helper.from_array(np.zeros(1, np.float32))
    graph.add("ConstantOfShape", (rows,), name, value=zero)


def _save(proto: "ModelProto", out: Path) -> list[Path]:
    """The graph's file first, then that of its arrays where they are too large for it."""
    import onnx

    size = sum(len(array.raw_data) for array in proto.graph.initializer)
    if size <= LARGEST_FILE:
        onnx.save(proto, out)
        return [out]
    beside = f"{out.name}.data"
    onnx.save(proto, out, save_as_external_data=True, location=beside)
    return [out, out.with_name(beside)]


def _check(model: TrainedModel, file: Path, ids: str) -> tuple[int, float | None]:
    """How many rows were scored both ways, and the largest difference; RunError where it is large.

    ONNX's own checker first, then onnxruntime where it is installed.
    """
    import onnx

    onnx.checker.check_model(str(file), full_check=True)
    if importlib.util.find_spec("onnxruntime") is None:
        return 0, None
    rows = _rows_to_check(model)
    own, theirs = _own(model, rows), _run(file, rows, ids)
    apart = np.abs(theirs - own)
    difference = float(apart.max())
    if not (apart <= TOLERANCE * (1.0 + np.abs(own))).all():  # NaN is no agreement
        raise RunError(
            f"The ONNX model's outputs lie up to {difference:.2g} from the run's own, so it was "
            "not kept. Its weights may be too large for float32; train with a lower learning rate."
        )
    return len(rows), difference


def _rows_to_check(model: TrainedModel) -> Ids:
    """Reference rows, then rows that the run keeps, then every field at its default."""
    defaults = np.array([[each.default for each in model.fields]], np.int32)
    kept = [model.reference_ids, *(model.impression_ids(part) for part in model.parts), defaults]
    return np.concatenate([rows[:CHECKED_ROWS] for rows in kept])


def _own(model: TrainedModel, rows: Ids) -> NDArray[np.float64]:
    """The model's own outputs, float64[5, N]."""
    terms = model.score(rows)
    return np.stack([*terms, terms.logit, terms.probability])


def _run(file: Path, rows: Ids, ids: str) -> NDArray[np.float32]:
    """What onnxruntime computes, float32[5, N]."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return np.stack(session.run(OUTPUTS, {"ids": rows.astype(ids)}))

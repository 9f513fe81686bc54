"""A DataFrame of impressions and their clicks to click probabilities: a scikit-learn estimator."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from deepfm.config import ModelConfig, PrepareConfig, TrainConfig
from deepfm.data.dataset import prepare
from deepfm.data.schema import Column, FileFormat, Schema
from deepfm.terms import Terms
from deepfm.trained import TrainedModel, open_run
from deepfm.training.loop import train

_LABEL: Final = "__label__"
_CHECKS: Final[Mapping[str, Any]] = {"dtype": None, "ensure_all_finite": "allow-nan"}


class DeepFMClassifier(ClassifierMixin, BaseEstimator):
    """DeepFM for two classes, over a DataFrame (or array) of categorical and numeric columns.

    Text, category and boolean columns become categorical fields, numeric columns quantile
    buckets. The parameters are those of PrepareConfig, ModelConfig and TrainConfig;
    `random_state` seeds the split, the weights, shuffling and dropout. With `validation` above 0
    that share of the rows is held out to choose the best epoch.

    classes_    the two labels, ascending; the second is the clicked one
    model_      the TrainedModel: `deepfm.explain(clf.model_, {column: value, …})` explains a row
    """

    def __init__(
        self,
        num_factors: int = ModelConfig.num_factors,
        mlp_dims: tuple[int, ...] = ModelConfig.mlp_dims,
        drop_rate: float = ModelConfig.drop_rate,
        terms: tuple[str, ...] = ModelConfig.terms,
        shared_embedding: bool = ModelConfig.shared_embedding,
        activation: str = ModelConfig.activation,
        embedding_drop_rate: float = ModelConfig.embedding_drop_rate,
        learning_rate: float = TrainConfig.learning_rate,
        epochs: int = TrainConfig.epochs,
        batch_size: int = TrainConfig.batch_size,
        patience: int = TrainConfig.patience,
        monitor: str = TrainConfig.monitor,
        weight_decay: float = TrainConfig.weight_decay,
        embedding_l2: float = TrainConfig.embedding_l2,
        optimizer: str = TrainConfig.optimizer,
        mlp_precision: str = TrainConfig.mlp_precision,
        device: str = TrainConfig.device,
        min_count: int = PrepareConfig.min_count,
        validation: float = 0.0,
        numeric_buckets: int = PrepareConfig.numeric_buckets,
        random_state: int | None = 0,
    ) -> None:
        self.num_factors = num_factors
        self.mlp_dims = mlp_dims
        self.drop_rate = drop_rate
        self.terms = terms
        self.shared_embedding = shared_embedding
        self.activation = activation
        self.embedding_drop_rate = embedding_drop_rate
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.patience = patience
        self.monitor = monitor
        self.weight_decay = weight_decay
        self.embedding_l2 = embedding_l2
        self.optimizer = optimizer
        self.mlp_precision = mlp_precision
        self.device = device
        self.min_count = min_count
        self.validation = validation
        self.numeric_buckets = numeric_buckets
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803 - scikit-learn's name
        """Learn from impressions X [N, F] and their labels y [N] of two classes."""
        frame, labels = self._checked_labels(X, y)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) != 2:
            raise ValueError(
                "Only binary classification is supported: y must hold two classes, and it holds "
                f"{len(self.classes_)} class{'es' if len(self.classes_) != 1 else ''}."
            )
        self.numeric_ = tuple(
            name
            for name, dtype in zip(self._names(), frame.dtypes, strict=True)
            if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
        )
        self.model_ = self._train(self._table(frame), codes)
        self.weights_ = self.model_.weights.in_double_precision()
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Probabilities of the two classes, float64[N, 2], in the order of `classes_`."""
        clicked = self.score_terms(X).probability
        return np.stack([1 - clicked, clicked], axis=1)

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """The logit of the second class, float64[N]."""
        return np.asarray(self.score_terms(X).logit, dtype=np.float64)

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """The likelier class of each row."""
        clicked = self.decision_function(X) > 0
        return self.classes_[clicked.astype(int)]

    def score_terms(self, X: ArrayLike) -> Terms:  # noqa: N803
        """The three terms of each row's logit."""
        check_is_fitted(self)
        table = self._table(self._checked(X))
        encode = self.model_.vocabulary.encode_column
        columns = [encode(name, table[name]) for name in self._names()]
        return self.weights_.terms(np.stack(columns, axis=1))

    def _checked_labels(self, X: Any, y: Any) -> tuple[pd.DataFrame, NDArray[Any]]:  # noqa: N803
        """X as a DataFrame and y as an array, after scikit-learn's own checks."""
        if y is None:
            raise ValueError("DeepFMClassifier requires y to be passed, but the target y is None")
        values, labels = validate_data(self, X, y, **_CHECKS)
        check_classification_targets(labels)
        return self._frame(X, values), labels

    def _checked(self, X: Any) -> pd.DataFrame:  # noqa: N803
        """X as a DataFrame with the columns that were learned from."""
        return self._frame(X, validate_data(self, X, reset=False, **_CHECKS))

    def _frame(self, X: Any, values: NDArray[Any]) -> pd.DataFrame:  # noqa: N803
        """The DataFrame itself, which knows each column's type; arrays are given one."""
        if isinstance(X, pd.DataFrame):
            return X
        return pd.DataFrame(values).infer_objects()

    def _names(self) -> list[str]:
        names = getattr(self, "feature_names_in_", None)
        return [f"x{i}" for i in range(self.n_features_in_)] if names is None else list(names)

    def _table(self, frame: pd.DataFrame) -> pa.Table:
        """Every column as text, as the reader of files gives it; null is an empty cell."""
        columns = [_texts(frame.iloc[:, i]) for i in range(frame.shape[1])]
        return pa.table(columns, names=self._names())

    def _train(self, table: pa.Table, codes: NDArray[np.int64]) -> TrainedModel:
        model, config = self._configs()
        with tempfile.TemporaryDirectory(prefix="deepfm-") as name:
            folder = Path(name)
            labelled = table.append_column(_LABEL, pa.array(codes.astype(str), pa.string()))
            pq.write_table(labelled, folder / "rows.parquet")
            dataset = prepare(
                folder / "rows.parquet",
                config=self._prepare_config(),
                schema=self._schema(),
                out=folder / "dataset",
            )
            run = train(dataset, model, config, out=folder / "run")
            return open_run(run.folder)

    def _schema(self) -> Schema:
        reason = "from the DataFrame"
        columns = [
            Column(name, "numeric" if name in self.numeric_ else "categorical", reason)
            for name in self._names()
        ]
        columns.append(Column(_LABEL, "label", reason))
        return Schema(FileFormat("parquet"), tuple(columns), positive=("1",), negative=("0",))

    def _configs(self) -> tuple[ModelConfig, TrainConfig]:
        values = {**self.get_params(), "seed": self._seed()}
        return (
            ModelConfig.from_dict(_of(values, ModelConfig)),
            TrainConfig.from_dict(_of(values, TrainConfig)),
        )

    def _prepare_config(self) -> PrepareConfig:
        return PrepareConfig.from_dict(
            _of({**self.get_params(), "seed": self._seed()}, PrepareConfig)
        )

    def _seed(self) -> int:
        if self.random_state is None:
            return int(np.random.default_rng().integers(2**31))
        return int(self.random_state)


def _of(values: Mapping[str, Any], config: type) -> dict[str, Any]:
    names = {setting.name for setting in config.settings()}  # type: ignore[attr-defined]
    return {name: value for name, value in values.items() if name in names}


def _texts(column: pd.Series) -> pa.Array:
    """One column as text: 7.0 reads "7", a missing value is null."""
    missing = column.isna().to_numpy()
    if pd.api.types.is_bool_dtype(column.dtype):
        texts = ["true" if value else "false" for value in column]
    elif pd.api.types.is_numeric_dtype(column.dtype):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        texts = [str(int(x)) if x.is_integer() else repr(x) for x in numbers.tolist()]
    else:
        texts = [str(value) for value in column]
    return pa.array(texts, pa.string(), mask=missing)

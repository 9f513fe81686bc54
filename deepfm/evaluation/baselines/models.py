"""Rows to the models one would pick instead: base rate, logistic regression, boosted trees.

Each is fitted on the training rows, chooses its strength or its end by the log loss of the stopping
rows, and says its logits of the judged rows. Libraries are imported when they are needed.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deepfm.errors import Cancelled
from deepfm.evaluation.baselines.rows import BaselineData, Codes, Rows, Watch
from deepfm.evaluation.figures import log_loss

STRENGTHS: Final = (0.1, 1.0, 10.0)
"""scikit-learn's C that logistic regression is tried with."""
LR_STEPS: Final = 25
LR_ROUNDS: Final = 8
"""Newton-like steps between two looks at the clock, and how often at most."""
TREES: Final = 1_500
"""Trees at most; far fewer where more do not help."""
ROUND: Final = 25
"""Trees of scikit-learn between two looks at the stopping rows."""
PATIENCE: Final = 50
"""Trees without improvement after which it ends."""
NATIVE_VALUES: Final = 250
"""Fields with more values are target-coded for scikit-learn's trees, which hold 255 at most."""
TINY: Final = 1e-7


@dataclass(frozen=True)
class Fitted:
    """Logits of the judged rows, float64[N], and what was fitted in a few words."""

    logits: NDArray[np.float64]
    detail: str


Fit = Callable[[BaselineData, Watch], Fitted]


def base_rate(data: BaselineData, watch: Watch) -> Fitted:
    """The click rate of the training rows for everyone."""
    rate = float(np.clip(data.train.labels.mean(), TINY, 1 - TINY))
    logit = np.log(rate) - np.log1p(-rate)
    return Fitted(np.full(len(data.judged), logit), f"{100 * rate:.4g} % for every row")


def logistic_regression(data: BaselineData, watch: Watch) -> Fitted:
    """scikit-learn's logistic regression of one-hot columns, the C with the least log loss."""
    from sklearn.linear_model import LogisticRegression

    total = len(STRENGTHS) * LR_ROUNDS
    watch.step(0, total, "rounds")
    train, stopping = (_one_hot(rows.codes, data.sizes) for rows in (data.train, data.stopping))
    best: tuple[float, Any, float] | None = None
    for place, strength in enumerate(STRENGTHS):
        model = LogisticRegression(C=strength, max_iter=LR_STEPS, warm_start=True)
        for turn in range(LR_ROUNDS):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # not yet converged: it goes on in the next turn
                model.fit(train, data.train.labels)
            late = watch.step(place * LR_ROUNDS + turn + 1, total, "rounds")
            if late or model.n_iter_[0] < LR_STEPS:
                break
        loss = log_loss(data.stopping.labels, model.decision_function(stopping))
        if best is None or loss < best[0]:
            best = loss, model, strength
        if watch.taken > watch.seconds:
            break
    assert best is not None
    logits = best[1].decision_function(_one_hot(data.judged.codes, data.sizes))
    return Fitted(np.asarray(logits, np.float64), f"one-hot, C = {best[2]:g}")


def _one_hot(codes: Codes, sizes: tuple[int, ...]) -> Any:
    """Sparse float64[N, V] with a 1 for each field's value."""
    from scipy.sparse import csr_array

    rows, fields = codes.shape
    offsets = np.cumsum((0, *sizes[:-1]))
    columns = (codes + offsets).astype(np.int32).ravel()
    starts = np.arange(0, rows * fields + 1, fields, dtype=np.int32)
    return csr_array((np.ones(rows * fields), columns, starts), shape=(rows, sum(sizes)))


def boosted_trees(data: BaselineData, watch: Watch) -> Fitted:
    """scikit-learn's gradient-boosted trees on categories; many values become target codes."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    watch.step(0, TREES, "trees")
    train, stopping, judged = _tree_columns(data)
    native = [
        not numeric and size <= NATIVE_VALUES
        for size, numeric in zip(data.sizes, data.numeric, strict=True)
    ]
    model = HistGradientBoostingClassifier(
        max_iter=ROUND,
        learning_rate=0.1,
        early_stopping=False,
        warm_start=True,
        categorical_features=native,
        random_state=0,
    )
    best: tuple[float, int, NDArray[np.float64]] | None = None
    while model.max_iter <= TREES:
        model.fit(train, data.train.labels)
        loss = log_loss(data.stopping.labels, model.decision_function(stopping))
        if best is None or loss < best[0]:
            best = loss, model.max_iter, model.decision_function(judged)
        late = watch.step(model.max_iter, TREES, "trees")
        if late or model.max_iter - best[1] >= PATIENCE:
            break
        model.max_iter += ROUND
    assert best is not None
    coded = sum(size > NATIVE_VALUES for size in data.sizes)
    words = f", {coded} field{'s' * (coded != 1)} target-coded" if coded else ""
    return Fitted(np.asarray(best[2], np.float64), f"{best[1]} trees{words}")


def _tree_columns(data: BaselineData) -> tuple[NDArray[np.float64], ...]:
    """Columns for scikit-learn's trees: ordinal codes, target codes, buckets in their order."""
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import TargetEncoder

    parts = [rows.codes.astype(np.float64) for rows in (data.train, data.stopping, data.judged)]
    many = [place for place, size in enumerate(data.sizes) if size > NATIVE_VALUES]
    if many:
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        encoder = TargetEncoder(target_type="binary", cv=folds)
        # On the rows it is fitted on, each is coded by the others alone (cross-fitting).
        parts[0][:, many] = encoder.fit_transform(parts[0][:, many], data.train.labels)
        for columns in parts[1:]:
            columns[:, many] = encoder.transform(columns[:, many])
    for place, (size, numeric) in enumerate(zip(data.sizes, data.numeric, strict=True)):
        if numeric and place not in many:
            for columns in parts:
                columns[columns[:, place] >= size - 2, place] = np.nan
    return tuple(parts)


def lightgbm(data: BaselineData, watch: Watch) -> Fitted:
    """LightGBM on the values as categories."""
    import lightgbm as library

    watch.step(0, TREES, "trees")

    def look(environment: Any) -> None:
        done = environment.iteration + 1
        if watch.step(done, TREES, "trees"):
            raise library.callback.EarlyStopException(environment.iteration, [])

    categories = [place for place, numeric in enumerate(data.numeric) if not numeric]
    settings = {
        "objective": "binary",
        "metric": "binary_logloss",
        "learning_rate": 0.05,
        "num_leaves": 63,
        "seed": 0,
        "verbose": -1,
        "deterministic": True,
        "num_threads": _cores(),
    }
    train = library.Dataset(
        data.train.codes, data.train.labels, categorical_feature=categories, free_raw_data=False
    )
    stopping = library.Dataset(data.stopping.codes, data.stopping.labels, reference=train)
    model = library.train(
        settings,
        train,
        TREES,
        valid_sets=[stopping],
        callbacks=[library.early_stopping(PATIENCE, verbose=False), look],
    )
    trees = model.best_iteration or model.current_iteration()
    logits = model.predict(data.judged.codes, raw_score=True, num_iteration=trees)
    return Fitted(np.asarray(logits, np.float64), f"{trees} trees")


def catboost(data: BaselineData, watch: Watch) -> Fitted:
    """CatBoost on the values as categories."""
    import catboost as library  # type: ignore[import-untyped, import-not-found, unused-ignore]

    watch.step(0, TREES, "trees")

    class Look:
        """Asked after each tree whether to go on; what is raised there would be lost."""

        cancelled: Cancelled | None = None

        def after_iteration(self, info: Any) -> bool:
            try:
                return not watch.step(info.iteration, TREES, "trees")
            except Cancelled as error:
                self.cancelled = error
                return False

    categories = [place for place, numeric in enumerate(data.numeric) if not numeric]

    def pool(rows: Rows) -> Any:
        return library.Pool(rows.codes, rows.labels, cat_features=categories)

    model = library.CatBoostClassifier(
        iterations=TREES,
        learning_rate=0.1,
        eval_metric="Logloss",
        early_stopping_rounds=PATIENCE,
        random_seed=0,
        thread_count=_cores(),
        verbose=False,
        allow_writing_files=False,
    )
    look = Look()
    model.fit(pool(data.train), eval_set=pool(data.stopping), callbacks=[look])
    if look.cancelled is not None:
        raise look.cancelled
    logits = model.predict(pool(data.judged), prediction_type="RawFormulaVal")
    return Fitted(np.asarray(logits, np.float64), f"{model.tree_count_} trees")


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


FITS: Final[Mapping[str, Fit]] = {
    "Always the base rate": base_rate,
    "Logistic regression": logistic_regression,
    "Boosted trees": boosted_trees,
    "LightGBM": lightgbm,
    "CatBoost": catboost,
}
MISSING_WORDS: Final[Mapping[str, str]] = {
    "LightGBM": "pip install lightgbm adds it",
    "CatBoost": "pip install catboost adds it",
}
"""Models whose library may be absent, and the way to have it."""

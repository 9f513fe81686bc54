"""What models that differ in their terms alone teach: three questions, each tested on the rows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from deepfm.charts.history import History, history_of
from deepfm.config import TERM_SETS, ModelConfig
from deepfm.events import Epoch, Metrics
from deepfm.runs.store import RunRow, Store
from deepfm.ui import state
from deepfm.ui.five_models import answers_of, models_of, sooner_in_words
from tests.app.conftest import assert_nothing_wrong
from tests.app.runs_in_store import MOMENTS, TERMS
from tests.app.runs_page import five
from tests.app.test_model import put_run, put_scores, words
from tests.app.test_train import demo, made_demo
from tests.unit.run_folders import RunSpec, write_run

__all__ = ["demo", "made_demo"]

ROWS = 400


def trained(home: Path, *, knows: dict[str, float]) -> list[RunRow]:
    """A run of each named model whose score is noise and so much of the label, on the same rows."""
    rng = np.random.default_rng(0)
    labels = (rng.random(ROWS) < 0.4).astype(float)
    noise = rng.normal(size=ROWS)
    for name, share in knows.items():
        spec = RunSpec(model=ModelConfig(terms=TERM_SETS[name]), rows={"test": ROWS})
        run_id = put_run(home, name, spec)
        silent = dict.fromkeys(("linear", "pairwise", "deep"), np.zeros(ROWS))
        put_scores(run_id, **{**silent, "linear": share * labels + noise, "label": labels})
    with Store.open(home) as store:
        return store.runs()


def answers(rows: list[RunRow]) -> dict[str, str]:
    """Question to answer."""
    return {
        f"{each.question.without} {each.question.having}": each.in_words
        for each in answers_of(models_of(rows))
    }


def test_each_question_is_answered_by_the_two_models_that_differ_in_its_part(home: Path) -> None:
    said = answers(trained(home, knows={"LR": 0.3, "FM": 2.0, "DNN": 3.5, "DeepFM": 3.5}))
    assert said["LR FM"].startswith("**Pairs say what single values cannot**: AUC ")
    assert said["FM DeepFM"].startswith("**The network says what pairs cannot**")
    alike = "**The network does as well alone, as far as these rows can tell**"
    assert said["DNN DeepFM"].startswith(alike)
    assert "+0.0000" in said["DNN DeepFM"] and "p = 1)" in said["DNN DeepFM"]


def test_what_makes_it_worse_is_said(home: Path) -> None:
    said = answers(trained(home, knows={"LR": 2.0, "FM": 0.3, "DNN": 3.0, "DeepFM": 0.3}))
    assert said["LR FM"].startswith("**With pairs it ranks worse**")
    assert said["DNN DeepFM"].startswith("**The network does better alone**")
    assert said["FM DeepFM"].startswith("**The network adds nothing to pairs, as far as")


def test_a_model_that_is_missing_or_damaged_leaves_the_other_questions(home: Path) -> None:
    rows = trained(home, knows={"LR": 0.3, "FM": 2.0, "DeepFM": 3.0})
    lr = next(row for row in rows if row.name == "LR")
    (state.run_folder(lr.id) / "scores.parquet").write_bytes(b"damaged")
    assert list(answers(rows)) == ["FM DeepFM"], "there is no DNN, and LR cannot be read"
    assert not answers_of({})


def test_runs_of_other_rows_answer_nothing(home: Path) -> None:
    rows = trained(home, knows={"LR": 0.3, "FM": 2.0})
    fm = next(row for row in rows if row.name == "FM")
    put_scores(fm.id, label=np.arange(ROWS) % 2.0)
    assert answers(rows) == {}


def epochs(*aucs: float) -> History:
    """A run whose validation AUC after each epoch is as given."""
    train = Metrics(0.5, 0.8, 0.9, 100)
    return history_of(
        Epoch(
            number,
            float(number),
            1e5,
            2e5,
            train,
            Metrics(0.5, 0.8, auc, 100),
            train,
            auc == max(aucs[:number]),
            MOMENTS,
            TERMS,
        )
        for number, auc in enumerate(aucs, 1)
    )


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ((0.7, 0.796, 0.8), (0.6, 0.7, 0.79), "DeepFM gets there sooner: within 0.005 of its"),
        ((0.6, 0.7, 0.79), (0.7, 0.796, 0.8), "DNN gets there sooner: within 0.005 of its best"),
        ((0.6, 0.8), (0.5, 0.79), ""),
        ((), (0.5, 0.79), ""),
    ],
)
def test_who_came_near_its_best_sooner_is_said(
    first: tuple[float, ...], second: tuple[float, ...], said: str
) -> None:
    found = sooner_in_words(("DeepFM", epochs(*first)), ("DNN", epochs(*second)))
    assert found.strip().startswith(said) and bool(found) == bool(said)
    if said:
        assert "after epoch 2, " in found and found.endswith("after epoch 3.")


def test_a_comparison_that_has_ended_says_what_it_teaches(
    demo, home: Path, open_page: Callable[..., AppTest]
) -> None:
    group = five(home, demo)
    assert "What that says" not in words(open_page("train", group=group))
    with Store.open(home) as store:
        for run_id in store.group(group).runs:
            store.claim_run("test")
            row = store.run(run_id)
            spec = RunSpec(model=ModelConfig.from_dict(row.model), rows={"test": 60})
            write_run(row.folder, spec)
            store.finish_run(run_id, "finished", result={"part": "test", "auc": 0.7, "rows": 60})
            put_scores(run_id, label=np.arange(60) % 2.0)
    page = open_page("train", group=group)
    assert_nothing_wrong(page)
    said = words(page)
    assert "What that says of single values, pairs and the network" in said
    assert "LR → FM: **" in said and "FM → DeepFM: **" in said and "DNN → DeepFM: **" in said
    assert "on the same 60 test rows" in said and "another seed" in said

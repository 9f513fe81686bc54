"""The table of a comparison's results: figures first, states while they say something."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.conftest import assert_nothing_wrong


def _results(*states: str) -> None:
    import pandas as pd

    from deepfm.ui.compared import show_results

    rows = [{"model": "FM", "state": state, "test log loss": 0.43} for state in states]
    show_results(pd.DataFrame(rows), key="results")


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        (("finished", "finished"), ["model", "test log loss"]),
        (("finished", "training"), ["model", "state", "test log loss"]),
        (("finished", "failed"), ["model", "state", "test log loss"]),
    ],
)
def test_the_state_leaves_its_room_to_the_figures_once_all_have_finished(
    states: tuple[str, ...], shown: list[str]
) -> None:
    page = AppTest.from_function(_results, args=states, default_timeout=60).run()
    assert_nothing_wrong(page)
    (table,) = page.dataframe
    assert list(table.proto.column_order) == shown

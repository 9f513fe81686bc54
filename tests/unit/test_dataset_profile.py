from pathlib import Path

import numpy as np
import pytest

from deepfm.config import Settings
from deepfm.data.catalog import open_demo
from deepfm.data.dataset import prepare, profile
from deepfm.data.dataset.profiling import wilson_interval
from deepfm.data.schema import inspect
from deepfm.data.vocabulary import RARE


def slow_wilson(clicks: int, rows: int) -> tuple[float, float]:
    """The rates that a test at 5 % would not refuse, found by halving."""
    z = 1.959963984540054

    def refused(rate: float) -> bool:
        return abs(clicks / rows - rate) > z * (rate * (1 - rate) / rows) ** 0.5

    def border(inside: float, outside: float) -> float:
        for _ in range(200):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if refused(middle) else (middle, outside)
        return inside

    return border(clicks / rows, 0.0), border(clicks / rows, 1.0)


@pytest.mark.parametrize(
    ("clicks", "rows"), [(0, 1), (1, 1), (0, 40), (40, 40), (3, 10), (500, 1000), (1, 10**9)]
)
def test_interval_holds_the_rates_that_a_test_would_not_refuse(clicks: int, rows: int) -> None:
    low, high = wilson_interval(np.array([clicks]), np.array([rows]))
    assert 0 <= low[0] <= clicks / rows <= high[0] <= 1
    assert (low[0], high[0]) == pytest.approx(slow_wilson(clicks, rows), abs=1e-12)


def test_interval_without_rows_is_unknown() -> None:
    low, high = wilson_interval(np.array([0, 1]), np.array([0, 2]))
    assert np.isnan([low[0], high[0]]).all() and not np.isnan([low[1], high[1]]).any()


def test_profile_of_the_demo_tells_what_its_fields_are(tmp_path: Path) -> None:
    demo = open_demo(tmp_path)
    found = profile(demo, top=5)
    assert [field.name for field in found.fields] == [field.name for field in demo.fields]
    by_name = {field.name: field for field in found.fields}
    ad_id = by_name["ad_id"]
    assert (ad_id.cardinality, ad_id.kept, ad_id.rare) == (68, 60, 8)
    assert ad_id.coverage == pytest.approx(1 - 17 / 48_000)
    assert by_name["hour"].coverage == 1.0 and by_name["hour"].kept == 24
    assert len(ad_id.values) == 6 and ad_id.values[-1].value == RARE
    for value in ad_id.values:
        assert value.rate == value.clicks / value.count
        assert value.low < value.rate < value.high
    assert found.to_dict()["summary"]["parts"]["train"]["rows"] == 48_000


def test_profile_counts_missing_cells_and_rare_values(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    lines = [
        f"{i % 2},{'' if i % 4 else 'x'},{'' if i % 10 == 0 else i / 7},v{i}" for i in range(90)
    ]
    path.write_text("click,a,price,one\n" + "\n".join(lines) + "\n")
    schema = inspect(path).schema.with_role("price", "numeric").with_role("one", "categorical")
    dataset = prepare(
        path, schema=schema, settings=Settings(home=str(tmp_path)), validation=0.0, min_count=2
    )
    a, price, one = profile(dataset).fields
    assert (a.cardinality, a.kept, a.missing, a.coverage) == (2, 2, 67, 1.0)
    assert {value.value: value.count for value in a.values} == {"": 67, "x": 23, RARE: 0}
    assert a.values[-1].rate is None and a.values[-1].low is None
    assert price.missing == 9 and price.cardinality == 81 and price.kept == 10
    assert (one.cardinality, one.kept, one.rare, one.coverage) == (90, 0, 90, 0.0)

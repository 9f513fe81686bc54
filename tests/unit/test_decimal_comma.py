"""Numbers with a decimal comma: a column says by all its numbers together what its commas mean."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from deepfm.config import PrepareConfig
from deepfm.data.dataset import prepare
from deepfm.data.reader import open_agreed
from deepfm.data.reader.numbers import says_decimal_comma, to_numbers, with_decimal_point
from deepfm.data.schema import Schema, inspect


@pytest.mark.parametrize(
    ("texts", "decimal"),
    [
        (["0,661", "1,492", "44,123"], True),
        (["1,492", "12,5"], True),
        (["1,492", "1.234,500"], True),
        (["1492,125"], True),
        (["€ 1,492", "0,5 €"], True),
        (["1,492", "1,234,567"], False),
        (["1,492", "1,234.5"], False),
        (["12,345", "1,234.50", "1,234,567", "3,5"], False),
        (["12.5", "3"], False),
        (["a", "b"], False),
        ([], False),
        (["1,492", "12,345", "7"], None),
    ],
)
def test_a_column_says_what_its_commas_mean(texts: list[str], decimal: bool | None):
    assert says_decimal_comma(pa.array(texts, pa.string())) is decimal


def test_with_a_point_they_are_read_as_what_they_are():
    texts = ["0,661", "1,492", "44,1", "1.234,5", "1.234", "12", "-3,125", "2.5", "€ 0,5", "", "NA"]
    pointed = with_decimal_point(pa.array([*texts, None], pa.string()))
    numbers = [0.661, 1.492, 44.1, 1234.5, 1234.0, 12.0, -3.125, 2.5, 0.5, None, None, None]
    assert to_numbers(pointed).to_pylist() == numbers
    assert pointed.to_pylist()[5] == "12" and pointed.to_pylist()[-2:] == ["NA", None]


def test_a_leading_zero_is_never_that_of_thousands():
    assert to_numbers(pa.array(["0,661", "1,492", "x"])).to_pylist() == [0.661, 1492.0, None]


# --- whole files ------------------------------------------------------------------------------


def log(folder: Path, bids: list[str], *, mark: str = ";", other: str = "n") -> Path:
    """A click log whose bids are written as given, beside a second number, in order."""
    path = folder / "log.csv"
    rows = [
        mark.join((str(row % 3 // 2), f"ad{row % 5}", f'"{bids[row % len(bids)]}"', other))
        for row in range(600)
    ]
    path.write_text("\n".join((mark.join(("clicked", "ad", "bid", "n")), *rows)), "utf-8")
    return path


MIXED = [f"{number:.3f}".replace(".", ",") for number in np.linspace(0.2, 44.1, 120)]
"""Of 0,200 and 1,307 and 44,100 the second alone could be thousands."""
DOUBTFUL = [f"{number:.3f}".replace(".", ",") for number in np.linspace(1.2, 44.1, 120)]


@pytest.mark.parametrize("mark", [";", ",", "\t"])
def test_a_column_with_a_decimal_comma_is_prepared_as_what_it_says(tmp_path: Path, mark: str):
    path = log(tmp_path, MIXED, mark=mark)
    found = inspect(path)
    column = found.schema.column("bid")
    assert (column.role, column.decimal_comma) == ("numeric", True)
    assert column.reason.endswith("a comma is the decimal sign")
    assert not found.schema.column("ad").decimal_comma
    dataset = prepare(
        path,
        schema=found.schema,
        out=tmp_path / "prepared",
        config=PrepareConfig(min_count=1),
    )
    edges = dataset.vocabulary.edges("bid")
    assert edges[0] >= 0.2 and edges[-1] < 44.1, "no bid is in the thousands"
    assert dataset.vocabulary.encode_column("bid", ["2.5"]) == dataset.vocabulary.encode_column(
        "bid", ["2,5"]
    )


def test_where_nothing_tells_semicolons_between_the_cells_do(tmp_path: Path):
    assert inspect(log(tmp_path, DOUBTFUL)).schema.column("bid").decimal_comma
    assert not inspect(log(tmp_path, DOUBTFUL, mark="\t")).schema.column("bid").decimal_comma


def test_where_nothing_tells_another_column_of_the_file_does(tmp_path: Path):
    path = log(tmp_path, DOUBTFUL, mark="\t", other="0,25")
    assert inspect(path).schema.column("bid").decimal_comma


def test_a_later_file_is_read_the_same_way_and_a_schema_keeps_it(tmp_path: Path):
    schema = inspect(log(tmp_path, MIXED)).schema
    again = Schema.from_dict(schema.to_dict())
    assert again == schema
    later = log(tmp_path, DOUBTFUL[:1])
    with open_agreed(later, again) as reader:
        (batch,) = reader.batches()
    assert set(batch.column("bid").to_pylist()) == {"1.200"}
    other = dataclasses.replace(again.column("bid"), role="categorical")
    columns = tuple(other if column.name == "bid" else column for column in again.columns)
    with open_agreed(later, dataclasses.replace(again, columns=columns)) as reader:
        (batch,) = reader.batches()
    assert set(batch.column("bid").to_pylist()) == {"1,200"}, "what is no number stays as it is"


def test_a_schema_without_decimal_commas_says_nothing_of_them(tmp_path: Path):
    schema = inspect(log(tmp_path, ["0.2", "1.3", "44.1"])).schema
    assert "decimal_comma" not in str(schema.to_dict()), "its dataset keeps its fingerprint"

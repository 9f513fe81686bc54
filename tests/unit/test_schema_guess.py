"""Files as people have them: format, label, roles and split are understood without help."""

import datetime
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deepfm.config import Settings
from deepfm.data.schema import Inspection, Role, inspect
from deepfm.data.schema.words import is_label_name, words_of

REAL = Path(__file__).parents[3] / "shared" / "data"
RNG = np.random.default_rng(0)


def look(path: Path) -> Inspection:
    return inspect(path, settings=Settings())


def roles(found: Inspection) -> list[Role]:
    return [column.role for column in found.schema.columns]


def csv_of(path: Path, columns: dict[str, Sequence[object]], **options: object) -> Inspection:
    pd.DataFrame(columns).to_csv(path, index=False, **options)  # type: ignore[call-overload]
    return look(path)


def zipf(rows: int, most: int) -> np.ndarray:
    """Codes from 0, a few of them common: int[rows]."""
    return np.minimum((RNG.pareto(1.0, rows) * 3).astype(int), most - 1)


def hashed(codes: np.ndarray, salt: int = 0) -> list[str]:
    return [f"{(int(code) * 2654435761 + salt * 97531) & 0xFFFFFFFF:08x}" for code in codes]


def test_the_d2l_form(tmp_path: Path) -> None:
    rows = 2000
    columns = [RNG.integers(0, 2, rows).astype(str).tolist()]
    columns += [hashed(zipf(rows, (5, 50, 900, 1)[k % 4]), k) for k in range(34)]
    columns[7] = RNG.integers(0, 9, rows).astype(str).tolist()
    path = tmp_path / "train.csv"
    path.write_text("".join("\t".join(row) + "\n" for row in zip(*columns, strict=True)))
    found = look(path)
    assert found.schema.format.describe() == "tab-separated text, no header, UTF-8"
    assert found.schema.names == ("label", *(f"field_{n}" for n in range(1, 35)))
    assert roles(found) == ["label", *["categorical"] * 34]
    assert (found.schema.positive, found.schema.negative) == (("1",), ("0",))


@pytest.mark.parametrize("rows", [200, 5000])
@pytest.mark.parametrize("named", [False, True])
def test_the_criteo_form(tmp_path: Path, rows: int, named: bool) -> None:
    def holed(values: Sequence[str], share: float) -> list[str]:
        return ["" if hole else v for v, hole in zip(values, RNG.random(rows) < share, strict=True)]

    columns = [(RNG.random(rows) < 0.25).astype(int).astype(str).tolist()]
    for k in range(13):
        counts = np.floor(np.exp(RNG.normal(k % 5, 1.2, rows)) - 1).astype(int)
        counts = RNG.integers(0, 6, rows) if k == 9 else counts
        columns.append(holed(counts.astype(str).tolist(), (0.45, 0.0, 0.76)[k % 3]))
    for k in range(26):
        codes = RNG.integers(0, 40_000, rows) if k == 3 else zipf(rows, 500)
        columns.append(holed(hashed(codes, k), (0.0, 0.05, 0.4)[k % 3]))
    names = ["label", *(f"I{n}" for n in range(1, 14)), *(f"C{n}" for n in range(1, 27))]
    lines = [names] * named + [list(row) for row in zip(*columns, strict=True)]
    path = tmp_path / "train.txt"
    path.write_text("".join("\t".join(line) + "\n" for line in lines))
    found = look(path)
    assert found.schema.format.header is named
    expected = ["label", *["numeric"] * 13, *["categorical"] * 26]
    if named and rows == 200:
        # With 200 rows a column of 40,000 codes may show none twice.
        expected[17] = roles(found)[17]
        assert expected[17] in ("categorical", "identifier")
    assert roles(found) == expected


def test_the_avazu_form(tmp_path: Path) -> None:
    rows = 25_000
    found = csv_of(
        tmp_path / "train.csv",
        {
            "id": RNG.integers(10**18, 10**19 - 1, rows, dtype=np.uint64),
            "click": (RNG.random(rows) < 0.17).astype(int),
            "hour": np.sort(RNG.choice([14102100 + hour for hour in range(24)], rows)),
            "C1": RNG.choice([1005, 1002, 1010], rows),
            "banner_pos": RNG.integers(0, 3, rows),
            "site_id": hashed(zipf(rows, 2000), 1),
            "device_ip": hashed((RNG.pareto(0.8, rows) * 4000).astype(int), 2),
            "device_type": RNG.choice([0, 1, 4], rows),
            "C14": 375 + RNG.permutation(24_000)[zipf(rows, 2500)],
            "C20": np.where(RNG.random(rows) < 0.47, -1, 100_000 + zipf(rows, 170)),
        },
    )
    assert roles(found) == ["identifier", "label", "time", *["categorical"] * 7]
    assert found.proposed_split == "time:hour" and "latest rows" in found.split_reason
    assert not found.complete and found.sample_rows == 20_000
    assert found.rows_estimated == pytest.approx(rows, rel=0.02)


def test_a_kaggle_advertising_table_with_the_index_of_pandas(tmp_path: Path) -> None:
    rows = 1000
    start = datetime.datetime(2016, 1, 1)
    table = pd.DataFrame(
        {
            "Daily Time Spent on Site": RNG.normal(65, 15, rows).round(2),
            "Age": RNG.integers(19, 62, rows),
            "Area Income": RNG.normal(55_000, 13_000, rows).round(0).astype(int),
            "Ad Topic Line": [f"Cloned orchestration {n}" for n in range(rows)],
            "Male": RNG.integers(0, 2, rows),
            "Country": [f"Country {n}" for n in RNG.integers(0, 237, rows)],
            "Timestamp": [
                str(start + datetime.timedelta(seconds=int(n)))
                for n in RNG.integers(0, 10**7, rows)
            ],
            "Clicked on Ad": RNG.choice(["Yes", "No"], rows),
        }
    )
    table.to_csv(tmp_path / "x.csv")
    found = look(tmp_path / "x.csv")
    assert found.schema.names[0] == "column_1"
    expected = ["identifier", "numeric", "numeric", "numeric", "identifier", "categorical"]
    assert roles(found) == [*expected, "categorical", "time", "label"]
    assert (found.schema.positive, found.schema.negative) == (("Yes",), ("No",))
    assert found.proposed_split == "time:Timestamp"
    assert found.complete and found.rows_estimated == rows


def test_a_german_export(tmp_path: Path) -> None:
    rows = 500
    found = csv_of(
        tmp_path / "x.csv",
        {
            "Datum": [f"{n % 28 + 1:02d}.{n % 12 + 1:02d}.2023" for n in range(rows)],
            "Preis": [f"{n:.2f}".replace(".", ",") for n in RNG.gamma(2, 20, rows)],
            "Straße": RNG.choice(["Äpfel", "Öl", "Brötchen"], rows),
            "Geklickt?": RNG.choice(["ja", "nein"], rows, p=[0.1, 0.9]),
        },
        sep=";",
        encoding="cp1252",
        lineterminator="\r\n",
    )
    assert found.schema.format.describe() == "semicolon-separated text, with header, Windows-1252"
    assert roles(found) == ["time", "numeric", "categorical", "label"]
    assert (found.schema.positive, found.schema.negative) == (("ja",), ("nein",))


def test_a_rating_log(tmp_path: Path) -> None:
    rows = 5000
    found = csv_of(
        tmp_path / "x.csv",
        {
            "user_id": RNG.integers(1, 600, rows),
            "movieId": RNG.integers(1, 900, rows),
            "timestamp": RNG.integers(956_703_932, 1_046_454_590, rows),
            "age": RNG.choice([1, 18, 25, 35, 45], rows),
            "zip": [f"{n:05d}" for n in RNG.integers(10_000, 12_000, rows)],
            "price": [f"${n:.2f}" for n in RNG.gamma(2, 9, rows)],
            "visits": RNG.poisson(3, rows),
            "os_version": RNG.choice(["14.2", "13.1", "12.0"], rows),
            "signup_date": [f"2020-0{n}-11" for n in RNG.integers(1, 9, rows)],
            "liked": RNG.random(rows) < 0.5,
        },
    )
    assert roles(found) == [
        *("categorical", "categorical", "time", "numeric", "categorical", "numeric"),
        *("numeric", "categorical", "time", "label"),
    ]
    assert found.proposed_split == "time:timestamp"
    assert (found.schema.positive, found.schema.negative) == (("True",), ("False",))


@pytest.mark.parametrize(
    ("name", "one", "zero"),
    [
        ("clicked", "1", "0"),
        ("Click?", "yes", "no"),
        ("y", "true", "false"),
        ("target", "1.0", "0.0"),
        ("label", "1", "-1"),
        ("is_click", "+1", "-1"),
        ("outcome", "click", "no click"),
        ("IsClicked", "TRUE", "FALSE"),
        ("converted", "Y", "N"),
        ("response", "clicked", "not clicked"),
        ("klick", "ja", "nein"),
        ("class", "2", "1"),
        ("clicks", "0", "-1"),
        ("watched", "5", "0"),
        ("event", "purchase", "view"),
    ],
)
def test_labels_of_every_writing(tmp_path: Path, name: str, one: str, zero: str) -> None:
    labels = RNG.choice([one, zero], 200, p=[0.2, 0.8])
    found = csv_of(
        tmp_path / "x.csv",
        {"is_mobile": RNG.integers(0, 2, 200), name: labels, "site": RNG.choice(["a", "b"], 200)},
    )
    assert found.schema.label.name == name
    assert (found.schema.positive, found.schema.negative) == ((one,), (zero,))
    assert found.label_values == {
        zero: int((labels == zero).sum()),
        one: int((labels == one).sum()),
    }


def test_of_two_unknown_texts_the_rarer_is_the_click_and_it_is_said(tmp_path: Path) -> None:
    found = csv_of(
        tmp_path / "x.csv", {"label": ["blue"] * 30 + ["red"] * 9, "a": ["x", "y", "z"] * 13}
    )
    assert (found.schema.positive, found.schema.negative) == (("red",), ("blue",))
    assert "'red', the rarer value" in found.schema.label.reason


def test_a_label_without_name_stands_first_or_last(tmp_path: Path) -> None:
    rows = 300
    first = csv_of(
        tmp_path / "a", {"a": [0, 0, 1] * 100, "b": RNG.integers(0, 50, rows)}, header=False
    )
    last = csv_of(
        tmp_path / "b",
        {"a": list("xyz") * 100, "b": RNG.integers(0, 50, rows), "c": [-1, 1, 1] * 100},
        header=False,
    )
    assert first.schema.names == ("label", "field_1") and first.schema.label.name == "label"
    assert last.schema.names == ("field_1", "field_2", "field_3")
    assert last.schema.label.name == "field_3"
    assert last.schema.positive == ("1",)


def test_a_third_label_value_is_warned_of_with_its_line(tmp_path: Path) -> None:
    labels = ["1", "0"] * 20
    labels[15] = "maybe"
    found = csv_of(tmp_path / "x.csv", {"clicked": labels, "site": ["a", "b", "c", "d"] * 10})
    assert found.schema.label.name == "clicked"
    assert found.warnings == ()
    assert found.label_warnings == (
        "Column 'clicked' holds 'maybe' on line 17, which means neither a click nor no click so "
        "far. Say what it means, have its rows left out, or choose another label column.",
    )
    left_out = replace(found.schema, left_out=("maybe",))
    assert inspect(tmp_path / "x.csv", schema=left_out).label_warnings == ()


def test_empty_labels_and_a_single_class_are_warned_of(tmp_path: Path) -> None:
    found = csv_of(tmp_path / "x.csv", {"click": ["0", "", "0"] * 9, "a": list("xyz") * 9})
    assert found.schema.negative == ("0",) and found.schema.positive == ("1",)
    assert found.warnings == ("9 rows of the sample have no label and are left out.",)
    assert found.label_warnings == (
        "All 18 labelled rows of the file are not clicked; to learn anything, a model needs both. "
        "Choose another label column, or a file that holds both.",
    )


def test_a_file_without_label_says_so(tmp_path: Path) -> None:
    found = csv_of(tmp_path / "x.csv", {"site": list("abc") * 9, "price": np.arange(27) / 7})
    assert "label" not in roles(found) and found.label_values == {}
    assert any("No column looks like the label" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("click,site,n", True),
        ("1,news,3", False),
        ("0,1,2", True),
        (",a,b", True),
        ("-1,,", False),
    ],
)
def test_a_header_is_told_from_a_row(tmp_path: Path, first: str, expected: bool) -> None:
    path = tmp_path / "x.csv"
    path.write_text(first + "\n" + "1,news,3\n0,shop,4\n" * 10)
    assert look(path).schema.format.header is expected


def test_an_all_text_header_is_told_by_its_names_not_coming_again(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("placement,device,clicked\n" + "top,phone,yes\nside,laptop,no\n" * 10)
    assert look(path).schema.format.header
    path.write_text("click,top,phone\n" + "click,top,phone\nno click,side,laptop\n" * 10)
    found = look(path)
    assert not found.schema.format.header
    assert found.schema.names[0] == "label" and found.schema.positive == ("click",)


def test_a_user_seen_often_in_the_whole_file_is_no_identifier(tmp_path: Path) -> None:
    rows = 2_000_000
    users = RNG.integers(10**9, 10**9 + 300_000, rows)
    path = tmp_path / "x.parquet"
    table = {"click": RNG.integers(0, 2, rows), "user_id": users, "row_id": np.arange(rows)}
    pq.write_table(pa.table(table), path)
    found = look(path)
    assert found.schema.column("user_id").role == "categorical"
    assert found.schema.column("row_id").role == "identifier"


def test_whole_numbers_without_a_telling_name(tmp_path: Path) -> None:
    rows = 8000
    found = csv_of(
        tmp_path / "x.csv",
        {
            "click": RNG.integers(0, 2, rows),
            "alpha": np.floor(np.exp(RNG.normal(2, 1.8, rows))).astype(int),
            "beta": RNG.permutation(60_000)[zipf(rows, 3000)],
            "gamma": RNG.integers(0, 12, rows),
            "delta": RNG.normal(500, 80, rows).astype(int),
            "epsilon": zipf(rows, 400),
        },
    )
    assert roles(found)[1:] == ["numeric", "categorical", "categorical", "numeric", "numeric"]


def test_empty_columns_and_lists_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "x"
    columns = {"y": [0, 1] * 20, "e": pa.nulls(40), "l": [[1], [2]] * 20, "s": ["a", "b"] * 20}
    pq.write_table(pa.table(columns), path)
    assert roles(look(path)) == ["label", "ignored", "ignored", "categorical"]


def test_the_persons_schema_is_kept_and_another_format_guesses_again(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("click,site,n\n" + "1,news,3\n0,shop,4\n" * 10)
    found = look(path)
    changed = found.schema.with_role("n", "ignored").with_label("site")
    again = inspect(path, settings=Settings(), schema=changed)
    assert again.schema.column("n").role == "ignored" and again.schema.label.name == "site"
    assert set(again.schema.positive + again.schema.negative) == {"news", "shop"}
    assert again.label_values == {"news": 10, "shop": 10}


@pytest.mark.parametrize("file", ["train.tsv.gz", "test.tsv.gz"])
def test_the_avazu_sample_is_all_codes(file: str) -> None:
    path = REAL / "avazu-sample" / file
    if not path.exists():
        pytest.skip("the folder of real data is absent")
    found = look(path)
    assert roles(found) == ["label", *["categorical"] * 16]
    assert found.schema.names[:2] == ("label", "field_1")
    assert found.complete and found.warnings == ()


@pytest.mark.parametrize("file", ["valid.libsvm.gz", "test.libsvm.gz"])
def test_frappe_is_ten_fields_of_indices(file: str) -> None:
    path = REAL / "frappe" / file
    if not path.exists():
        pytest.skip("the folder of real data is absent")
    found = look(path)
    assert found.schema.format.kind == "libsvm" and found.schema.format.numbers == ()
    assert roles(found) == ["label", *["categorical"] * 10]
    assert found.rows_estimated == pytest.approx(57_722 if "valid" in file else 28_860, rel=0.05)


def test_a_large_file_is_inspected_from_its_head(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    line = ",".join(["1", *["value"] * 60]) + "\n"
    path.write_text(",".join(["click", *(f"c{n}" for n in range(60))]) + "\n" + line * 300_000)
    started = time.process_time()
    found = look(path)
    assert time.process_time() - started < 2.0
    assert not found.complete
    assert found.rows_estimated == pytest.approx(300_000, rel=0.02)


def test_names_are_read_as_words() -> None:
    assert words_of("deviceType") == words_of("device_type") == ["device", "type"]
    assert words_of("Daily Time-Spent") == ["daily", "time", "spent"]
    assert all(map(is_label_name, ["Click?", "is_click", "Clicked on Ad", "LABEL", "y"]))
    assert not any(map(is_label_name, ["click_time", "site", "", "yes"]))


def test_the_dataclasses_need_no_pyarrow() -> None:
    code = "import sys, deepfm.data.schema; sys.exit('pyarrow' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
    )

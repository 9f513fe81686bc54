"""JSON objects, one a line or in an array, read as a CSV of the same cells would be."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from deepfm.config import Settings
from deepfm.data.dataset import prepare
from deepfm.data.reader import ROW, check_same_columns, open_agreed, open_rows
from deepfm.data.reader import blocks as blocks_module
from deepfm.data.reader import records as records_module
from deepfm.data.reader.records import cells_of, line_cells
from deepfm.data.schema import FileFormat, Inspection, Schema, inspect
from deepfm.errors import DataError, SchemaError

SETTINGS = Settings()
ROWS = [
    {
        "clicked": n % 2,
        "site": ("news", "Zürich, 北京", 'say "hi"\n')[n % 3],
        "price": n / 4,
        "app": n % 4 == 0,
        "device": {"os": ("ios", "android")[n % 2], "size": [n % 3, 2.50]},
    }
    for n in range(60)
]
NAMES = ("clicked", "site", "price", "app", "device.os", "device.size")


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def look(path: Path, schema: Schema | None = None) -> Inspection:
    return inspect(path, settings=SETTINGS, schema=schema)


def cells(path: Path, how: FileFormat | Schema | None = None) -> list[list[str | None]]:
    with open_rows(path, how, settings=SETTINGS) as reader:
        batches = [batch.drop_columns([ROW]).to_pylist() for batch in reader.batches()]
        assert reader.complete
        assert reader.bytes_done == reader.bytes_total == path.stat().st_size
    return [list(row.values()) for batch in batches for row in batch]


def expected(row: dict[str, Any]) -> list[str]:
    size = json.dumps(row["device"]["size"], separators=(",", ":"))
    return [
        str(row["clicked"]),
        row["site"],
        str(row["price"]),
        "true" if row["app"] else "false",
        row["device"]["os"],
        size,
    ]


@pytest.mark.parametrize("form", ["lines", "crlf", "array", "pretty", "gzip", "utf-16", "mark"])
def test_objects_are_rows_and_keys_are_columns(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = lines(ROWS)
    data = {
        "lines": text.encode().removesuffix(b"\n"),
        "crlf": text.replace("\n", "\r\n\r\n").encode(),
        "array": json.dumps(ROWS).encode(),
        "pretty": b"\n" + json.dumps(ROWS, indent=2).encode(),
        "gzip": gzip.compress(text.encode()),
        "utf-16": text.encode("utf-16"),
        "mark": text.encode("utf-8-sig"),
    }[form]
    path = write(tmp_path / "x", data)
    for block in (8 << 20, 97):
        monkeypatch.setattr(blocks_module, "BLOCK", block)
        found = look(path)
        assert found.schema.format.kind == "json" and found.schema.format.describe()[:4] == "JSON"
        assert FileFormat.from_dict(found.schema.format.to_dict()) == found.schema.format
        assert (found.schema.names, found.sample_rows, found.complete) == (NAMES, 60, True)
        assert found.schema.label.name == "clicked"
        assert cells(path, found.schema) == [expected(row) for row in ROWS]


def test_a_csv_of_the_same_cells_makes_the_same_rows_of_a_dataset(tmp_path: Path) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([NAMES, *map(expected, ROWS)])
    table = write(tmp_path / "x.csv", out.getvalue())
    objects = write(tmp_path / "x.jsonl", lines(ROWS))
    settings = Settings(home=str(tmp_path / "home"))
    made = [prepare(path, settings=settings).parts["train"] for path in (table, objects)]
    assert made[0].ids.tolist() == made[1].ids.tolist()
    assert made[0].labels.tolist() == made[1].labels.tolist()


def test_values_are_the_text_that_a_csv_would_have() -> None:
    line = (
        b'{"a": 1.0, "b": 12345678901234567890123, "c": -1e5, "d": null, "e": "", "f": NaN, '
        b'"g": {"h": {"i": 1}, "j": {}}, "k": [], "l": [{"m": 1.50, "n": "\xc3\xbc"}, null, true]}'
    )
    assert line_cells(line) == {
        **{"a": "1.0", "b": "12345678901234567890123", "c": "-1e5", "d": None, "e": None},
        **{"f": None, "g.h.i": "1", "k": "[]", "l": '[{"m":1.50,"n":"ü"},null,true]'},
    }
    assert cells_of({"a.b": "x"}) == {"a.b": "x"}


def test_missing_keys_are_empty_cells_and_keys_come_in_any_order(tmp_path: Path) -> None:
    text = '{"y":1,"a":"x"}\n{"b":2,"y":0}\n{}\n{"a":"z","b":3,"y":1}\n'
    path = write(tmp_path / "x", text)
    assert look(path).schema.names == ("y", "a", "b")
    assert cells(path) == [["1", "x", None], ["0", None, "2"], [None] * 3, ["1", "z", "3"]]


def test_damaged_lines_are_bad_rows_with_their_reason(tmp_path: Path) -> None:
    deep = "[" * 100_000
    damage = {
        5: (b'{"clicked": 1, "site": "ne', "is not JSON"),
        9: (b'["a", 1]', "is no JSON object"),
        14: (b'{"clicked": 1, "site": "\xff"}', "is not UTF-8 text"),
        20: (f'{{"clicked": {deep}'.encode(), "is nested too deeply"),
        31: (b'{"clicked": 1, "site": "\\ud83d"}', "holds half a character"),
        32: (b'{"clicked": 1, "site": "a\0b"}', "is not JSON"),
    }
    written = lines(ROWS).encode().split(b"\n")
    for number, (line, _) in damage.items():
        written[number - 1] = line
    found = look(write(tmp_path / "x", b"\n".join(written)))
    assert [(row.line, row.reason) for row in found.skipped] == [
        (number, reason) for number, (_, reason) in damage.items()
    ]
    assert found.sample_rows == 60 - len(damage)
    assert "6 of 60 rows are skipped, the first on line 5" in found.warnings[0]


def test_whole_characters_in_two_escapes_are_read() -> None:
    assert line_cells(b'{"a": "\\ud83d\\ude00"}') == {"a": "😀"}


def test_mostly_damaged_lines_are_one_sentence(tmp_path: Path) -> None:
    text = lines(ROWS[:30]) + "oops\n" * 50
    with pytest.raises(DataError, match=r"is not JSON \(line 31\)\. Save it with one JSON object"):
        look(write(tmp_path / "x", text), Schema(FileFormat("json"), ()))


def test_bad_elements_of_an_array_are_bad_rows(tmp_path: Path) -> None:
    found = look(write(tmp_path / "x", json.dumps([*ROWS[:7], 3, *ROWS[7:]])))
    assert [(row.line, row.reason) for row in found.skipped] == [(8, "is no JSON object")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps(ROWS)[:-40], "JSON array that is damaged or cut off"),
        ('[{"a": 1}\n{"a": 2}]', "damaged or cut off on line 2"),
        ("[{}, {}]", "without one object with keys"),
        ("{}\n{}\n", "no line that is a JSON object with keys"),
        (json.dumps({"rows": ROWS}, indent=1), "neither one object a line nor an array of objects"),
        ('[["a", 1], ["b", 2]]', "neither one object a line nor an array of objects"),
        ('{"clicked": 1, "si', "neither one object a line nor an array of objects"),
        ('{"clicked": 1}\n' * 9, "has one column only"),
        ("[{" + '"a":' + "[" * 100_000, "damaged or cut off"),
    ],
)
def test_other_json_is_refused_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as refused:
        look(write(tmp_path / "x.json", text))
    assert "\n" not in str(refused.value)


def test_an_array_past_its_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_module, "ARRAY_MB", 1)
    path = write(tmp_path / "x", json.dumps(ROWS * 300))
    with pytest.raises(DataError, match="is one JSON array of more than 1 MB; save it with one"):
        look(path)


def test_too_many_keys_are_refused(tmp_path: Path) -> None:
    text = lines(
        [{"y": n % 2, "counts": {f"user{n}_{k}": 1 for k in range(90)}} for n in range(300)]
    )
    with pytest.raises(DataError, match="have 27,001 different keys; at most 20,000"):
        look(write(tmp_path / "x", text))


def test_keys_past_the_head_are_left_out_counted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_module, "HEAD_BYTES", 2_000)
    late = [{**row, **({"new": 1} if n >= 50 else {})} for n, row in enumerate(ROWS)]
    path = write(tmp_path / "x", lines(late))
    found = look(path)
    assert found.schema.names == NAMES and found.sample_rows == 60
    said = "10 rows have keys that no row at the head of 'x' has; they are no columns"
    assert any(said in warning and warning.endswith("'new'.") for warning in found.warnings)
    told: list[str] = []
    settings = Settings(home=str(tmp_path / "home"))
    prepare(path, settings=settings, on_event=lambda event: told.append(str(event)))
    assert any(said in text for text in told)
    many = [{**ROWS[0], f"new{n:03}": 1} for n in range(40)]
    (warning,) = (w for w in look(write(path, lines(ROWS + many))).warnings if "40 rows have" in w)
    assert warning.endswith("'new011' and others.")


def test_a_sample_and_the_whole_file_have_the_same_columns(tmp_path: Path) -> None:
    wide = [{**row, f"k{n // 3000}": "x" * 400} for n, row in enumerate(ROWS * 400)]
    path = write(tmp_path / "x", lines(wide))
    assert path.stat().st_size > 10 << 20
    found = look(path)
    with open_rows(path, found.schema, settings=SETTINGS) as reader:
        assert sum(batch.num_rows for batch in reader.batches()) == 24_000
    assert reader.column_names == found.schema.names == (*NAMES, "k0")
    assert not found.complete and found.rows_estimated == pytest.approx(24_000, rel=0.05)


def test_a_file_beside_the_first_may_be_of_the_other_kind(tmp_path: Path) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([NAMES, *map(expected, ROWS)])
    table = write(tmp_path / "x.csv", out.getvalue())
    objects = write(tmp_path / "x.jsonl", lines(ROWS))
    for first in (table, objects):
        schema = look(first).schema
        for other in (table, objects):
            with open_agreed(other, schema, settings=SETTINGS) as reader:
                check_same_columns(schema, reader)
                (batch,) = reader.batches()
            read = [list(row.values())[:-1] for row in batch.to_pylist()]
            assert read == [expected(row) for row in ROWS]


def test_rows_to_score_may_lack_some_keys_but_not_most(tmp_path: Path) -> None:
    schema = look(write(tmp_path / "x", lines(ROWS))).schema
    few = write(tmp_path / "few", '{"site": "news", "price": 1, "app": true, "zip": 5}')
    with open_agreed(few, schema, settings=SETTINGS) as reader:
        check_same_columns(schema, reader, label_needed=False)
        (batch,) = reader.batches()
    assert batch.column("device.os").to_pylist() == [None]
    assert batch.column("zip").to_pylist() == ["5"]
    other = write(tmp_path / "other", '{"site": "news", "temperature": 5}')
    with (
        open_agreed(other, schema, settings=SETTINGS) as reader,
        pytest.raises(SchemaError, match=r"it lacks 'price', 'app', 'device.os'"),
    ):
        check_same_columns(schema, reader, label_needed=False)


def test_keys_that_are_no_good_names_get_others(tmp_path: Path) -> None:
    text = '{"y": 1, "": 2, " y ": 3, "__row__": 4}\n{"y": 0, "": 5, " y ": 6, "__row__": 7}\n'
    path = write(tmp_path / "x", text * 10)
    found = look(path)
    assert found.schema.names == ("y", "column_2", "y_2", "__row___2")
    assert cells(path, found.schema)[1] == ["0", "5", "6", "7"]

"""Raw files to record batches: every cell, every row number, every skipped line."""

import bz2
import csv
import gzip
import io
import lzma
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from deepfm.config import Settings
from deepfm.data.reader import ROW, Skipped, check_same_columns, open_rows, to_numbers
from deepfm.data.reader import blocks as blocks_module
from deepfm.data.reader.columnar import as_text
from deepfm.data.reader.names import unique_names
from deepfm.data.reader.quoted import row_borders
from deepfm.data.schema import Column, FileFormat, Schema, SkippedRow
from deepfm.errors import DataError, LimitError, SchemaError

Cells = list[list[str | None]]


def read(
    path: Path, format: FileFormat | Schema | None = None, **options: int
) -> tuple[tuple[str, ...], Cells, list[int], Skipped]:
    """Names, cells row by row, row numbers and what was skipped."""
    cells: Cells = []
    rows: list[int] = []
    with open_rows(path, format, settings=Settings(), **options) as reader:
        for batch in reader.batches():
            assert batch.schema.field(ROW).type == pa.int64()
            assert set(batch.schema.types[:-1]) == {pa.string()}
            columns = [batch.column(name).to_pylist() for name in reader.column_names]
            cells += [list(row) for row in zip(*columns, strict=True)]
            rows += batch.column(ROW).to_pylist()
        assert reader.complete
        assert reader.bytes_done == reader.bytes_total == path.stat().st_size
        return reader.column_names, cells, rows, reader.skipped


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few hundred bytes, so that small files have many borders between them."""
    monkeypatch.setattr(blocks_module, "BLOCK", 300)


@pytest.mark.parametrize("separator", ["\t", ",", ";", "|", " "])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("header", [True, False])
def test_cells_come_back_whatever_separates_them(
    tmp_path: Path, separator: str, line_end: str, header: bool
) -> None:
    rows = [["1", "news", "12"], ["0", "shop", ""], ["0", "", "7"]] * 5
    lines = [["click", "site", "n"], *rows] if header else rows
    text = line_end.join(separator.join(row) for row in lines) + line_end
    names, cells, numbers, skipped = read(write(tmp_path / "x.data", text))
    assert names == (("click", "site", "n") if header else ("label", "field_1", "field_2"))
    assert cells == [[cell or None for cell in row] for row in rows]
    assert numbers == list(range(15))
    assert skipped == Skipped()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize(
    "pack",
    [
        *(bytes, gzip.compress, bz2.compress, lzma.compress),
        lambda b: lzma.compress(b[:90]) + bytes(8) + lzma.compress(b[90:]) + bytes(4),
        lambda b: bz2.compress(b[:90]) + bz2.compress(b[90:]),
        lambda b: pa.compress(b, "zstd", asbytes=True),
        lambda b: (
            pa.compress(b[:90], "lz4", asbytes=True) + pa.compress(b[90:], "lz4", asbytes=True)
        ),
    ],
)
def test_encodings_and_packings_hold_the_same_cells(
    tmp_path: Path, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    text = "click,straße,n\n" + "1,Brötchen,2\n0,Öl,3\n" * 50
    names, cells, _, _ = read(write(tmp_path / "x", pack(text.encode(encoding))))
    assert names == ("click", "straße", "n")
    assert cells == [["1", "Brötchen", "2"], ["0", "Öl", "3"]] * 50


def quoted_file(seed: int, rows: int) -> tuple[str, list[list[str]]]:
    """A file as csv.writer writes it, of cells with quotes, separators and line ends."""
    draw = random.Random(seed)
    parts = ['"', ",", "\n", "a", "é", " ", '""', "\r\n", "", "5"]
    table = [
        [str(draw.randrange(2)), "".join(draw.choices(parts, k=draw.randrange(6))), "x"]
        for _ in range(rows)
    ]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(table)
    return out.getvalue(), table


@pytest.mark.parametrize("seed", range(20))
def test_quoted_cells_are_read_as_pythons_csv_wrote_them(
    tmp_path: Path, small_blocks: None, seed: int
) -> None:
    text, table = quoted_file(seed, 200)
    _, cells, rows, skipped = read(write(tmp_path / "x", text), FileFormat("text", ","))
    assert skipped.count == 0
    assert cells == [[cell or None for cell in row] for row in table]
    assert rows == list(range(200))


@pytest.mark.parametrize("seed", range(5))
def test_row_borders_are_where_a_walk_through_the_quotes_finds_them(seed: int) -> None:
    data = quoted_file(seed, 60)[0].encode()
    ends, lines, inside, line = [], [0], False, 0
    for place, code in enumerate(data):
        inside ^= code == ord('"')
        if code == 10:
            line += 1
            if not inside:
                ends.append(place)
                lines.append(line)
    borders = row_borders(data, ",")
    assert borders is not None and borders.whole
    assert borders.ends.tolist() == ends
    assert borders.lines.tolist() == lines


def test_bad_rows_are_counted_with_their_line_and_keep_their_number(
    tmp_path: Path, small_blocks: None
) -> None:
    lines = [b"click\tsite\tn"] + [b"%d\ts%d\t%d" % (n % 2, n, n) for n in range(300)]
    lines[11] = b"1\tonly two"
    lines[22] = b"1\ta\tb\tc"
    lines[33] = b"1\tz\0\t3"
    lines[44] = b"1\t\xff\xfe\t3"
    lines.insert(50, b"")
    lines[61] = b"1\ta\rb\t3"
    path = write(tmp_path / "x", b"\n".join(lines) + b"\n\n")
    _, cells, rows, skipped = read(path)
    assert skipped.count == 5
    assert [row.line for row in skipped.examples] == [12, 23, 34, 45, 62]
    assert skipped.reasons == {
        "2 columns instead of 3": 1,
        "4 columns instead of 3": 1,
        "holds a NUL byte": 1,
        "is not UTF-8 text": 1,
        "holds a carriage return in mid-line": 1,
    }
    assert len(rows) == 295 and rows == sorted(set(range(300)) - {10, 21, 32, 43, 59})
    assert [cell[2] for cell in cells] == [str(row) for row in rows]


def test_a_quote_left_open_costs_one_line(tmp_path: Path, small_blocks: None) -> None:
    rows = [f'{n % 2},"say ""{n}""",{n}' for n in range(400)]
    rows[100] = '1,"never closed,100'
    rows[200] = '1,5" pipe,200'
    rows[300] = '1,"two\nlines",300'
    path = write(tmp_path / "x", "click,text,n\n" + "\n".join(rows))
    _, cells, numbers, skipped = read(path)
    assert skipped.examples == [SkippedRow(102, "opens a quote that is not closed")]
    assert numbers == [n for n in range(400) if n != 100]
    assert [row[2] for row in cells] == [str(n) for n in numbers]
    assert cells[199][1] == '5" pipe' and cells[299][1] == "two\nlines"


def test_lines_joined_by_two_quotes_left_open_are_not_lost_together(tmp_path: Path) -> None:
    rows = [f'{n % 2},"{n}",{n}' for n in range(40)]
    rows[10], rows[14] = '1,"open,10', '1,"open",too,many",14'
    _, cells, numbers, skipped = read(write(tmp_path / "x", "\n".join(rows)))
    assert [row.line for row in skipped.examples] == [11, 15]
    assert numbers == [n for n in range(40) if n not in (10, 14)]
    assert [row[2] for row in cells] == [str(n) for n in numbers]


def test_a_line_is_found_again_for_a_row(tmp_path: Path, small_blocks: None) -> None:
    text = "click,text\n\n" + '0,a\n1,"b\nc"\n\n' * 40
    with open_rows(write(tmp_path / "x", text), settings=Settings()) as reader:
        found = [
            reader.line_of(row) for batch in reader.batches() for row in batch[ROW].to_pylist()
        ]
    expected = [line for n in range(40) for line in (3 + 4 * n, 4 + 4 * n)]
    assert found == expected


@pytest.mark.parametrize("lines", [1, 2, 3, 10])
def test_the_last_line_may_lack_its_line_end(tmp_path: Path, lines: int) -> None:
    text = "\n".join(["a,b"] + ["1,2"] * lines)
    assert read(write(tmp_path / "x", text))[1] == [["1", "2"]] * lines


def test_names_are_made_unique_and_never_empty(tmp_path: Path) -> None:
    assert unique_names(["x", "", "x", "x_2", "x", " y ", None]) == (
        "x",
        "column_2",
        "x_3",
        "x_2",
        "x_4",
        "y",
        "column_7",
    )
    assert unique_names(["__row__", "column_3", ""]) == ("__row___2", "column_3", "column_3_2")
    names, cells, _, _ = read(write(tmp_path / "x", "a,a,,b\n1,2,3,4\n1,2,3,4\n"))
    assert names == ("a", "a_2", "column_3", "b")
    assert cells[0] == ["1", "2", "3", "4"]


def test_names_and_values_are_kept_as_they_are(tmp_path: Path) -> None:
    strange = ["<b>bold</b>", "**md** | $x$", "=1+1", "@SUM(A1)", "[l](http://x)", "-5"]
    text = "click\t" + "\t".join(strange) + "\n" + ("1\t" + "\t".join(strange) + "\n") * 3
    names, cells, _, _ = read(write(tmp_path / "x", text), FileFormat("text", header=True))
    assert names == ("click", *strange)
    assert cells == [["1", *strange]] * 3


def test_a_thousand_columns_and_very_long_lines(tmp_path: Path) -> None:
    text = ",".join(f"c{n}" for n in range(1000)) + "\n" + (",".join("1" * 1000) + "\n") * 50
    names, cells, _, _ = read(write(tmp_path / "wide", text))
    assert len(names) == 1000 and len(cells) == 50
    long = "x" * 3_000_000
    _, cells, _, _ = read(write(tmp_path / "long", f"click,t\n1,{long}\n0,b\n"))
    assert cells[0][1] == long


def test_libsvm_is_read_entry_by_entry(tmp_path: Path, small_blocks: None) -> None:
    draw = np.random.default_rng(0)
    rows = [[str(draw.integers(2)), *map(str, draw.integers(0, 99, 4))] for _ in range(200)]
    lines = [" ".join([row[0], *(f"{index}:1" for index in row[1:])]) for row in rows]
    lines[3] += "  # a comment"
    lines[4] = "  " + lines[4].replace(" ", "\t") + " "
    names, cells, numbers, skipped = read(write(tmp_path / "x", "\n".join(lines)))
    assert names == ("label", "field_1", "field_2", "field_3", "field_4")
    assert cells == rows and numbers == list(range(200)) and skipped.count == 0


def test_libsvm_values_are_read_where_the_index_never_changes(tmp_path: Path) -> None:
    text = "".join(f"{n % 2} 1:0.{n} {n}:1\n" for n in range(1, 60))
    _, cells, _, _ = read(write(tmp_path / "x", text))
    assert cells[:2] == [["1", "0.1", "1"], ["0", "0.2", "2"]]


def test_a_libsvm_line_of_another_length_is_named(tmp_path: Path) -> None:
    lines = ["1 1:1 2:1"] * 20
    lines[12] = "1 1:1 2:1 3:1"
    with pytest.raises(DataError, match=r"Line 13 of 'x' has 3 entries where .* have 2"):
        read(write(tmp_path / "x", "\n".join(lines)))


def test_a_malformed_libsvm_line_is_skipped_and_counted(tmp_path: Path) -> None:
    lines = ["1 1:1 2:1"] * 20
    lines[12] = "1 1:1 garbage"
    _, cells, rows, skipped = read(write(tmp_path / "x", "\n".join(lines)))
    assert len(cells) == 19 and 12 not in rows
    assert skipped.examples == [
        SkippedRow(13, "is not a label and entries of the form index:value")
    ]


def test_libffm_fields_must_keep_their_order(tmp_path: Path) -> None:
    lines = [f"{n % 2} 0:{n}:1 1:{n + 50}:1" for n in range(30)]
    _, cells, _, _ = read(write(tmp_path / "x", "\n".join(lines)))
    assert cells[7] == ["1", "7", "57"]
    lines[17] = "1 1:67:1 0:17:1"
    with pytest.raises(DataError, match="Line 18 of 'x': entry 1 is of field 1"):
        read(write(tmp_path / "x", "\n".join(lines)))


TYPED = pa.table(
    {
        "int": pa.array([7, None, -1], pa.int64()),
        "float": pa.array([7.0, 2.5, None]),
        "nan": pa.array([float("nan"), 1e20, 1_000_000.0]),
        "single": pa.array([0.1, 3.0, None], pa.float32()),
        "bool": pa.array([True, False, None]),
        "text": pa.array(["a", "", None]),
        "dictionary": pa.array(["x", "y", None]).dictionary_encode(),
        "bytes": pa.array([b"ok", b"\xff\x00", None], pa.binary()),
        "date": pa.array([0, 1, None], pa.date32()),
        "list": pa.array([[1, 2], [], None]),
        "nothing": pa.nulls(3),
    }
)
TYPED_TEXT: list[list[str | None]] = [
    ["7", None, "-1"],
    ["7", "2.5", None],
    [None, "1e+20", "1000000"],
    ["0.1", "3", None],
    ["true", "false", None],
    ["a", None, None],
    ["x", "y", None],
    ["6f6b", "ff00", None],
    ["1970-01-01", "1970-01-02", None],
    ["[1, 2]", "[]", None],
    [None, None, None],
]


@pytest.mark.parametrize("kind", ["parquet", "feather", "stream", "parquet.gz"])
def test_typed_columns_become_text(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "feather":
        pyarrow.feather.write_feather(TYPED, path)
    elif kind == "stream":
        with pa.ipc.new_stream(path, TYPED.schema) as writer:
            writer.write_table(TYPED)
    else:
        pq.write_table(TYPED, path)
    if kind == "parquet.gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    with open_rows(path, settings=Settings()) as reader:
        (batch,) = reader.batches()
        assert reader.complete and reader.rows_estimated == 3
    assert batch.schema.names == [*TYPED.column_names, ROW]
    assert [column.to_pylist() for column in batch.columns[:-1]] == TYPED_TEXT


def test_many_row_groups_are_numbered_through(tmp_path: Path) -> None:
    table = pa.table({"y": [0, 1] * 500, "n": range(1000)})
    pq.write_table(table, tmp_path / "x", row_group_size=64)
    _, cells, rows, _ = read(tmp_path / "x")
    assert rows == list(range(1000)) == [int(row[1] or 0) for row in cells]


def test_extension_types_and_large_text_become_text() -> None:
    assert as_text(pa.array(["a", None], pa.large_string())).to_pylist() == ["a", None]
    uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"\0" * 16], pa.binary(16)))
    assert as_text(uuids).to_pylist() == ["00" * 16]


def test_a_zip_of_one_file_is_read_and_hidden_members_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/data.csv", "click,a\n1,2\n0,3\n")
        archive.writestr("__MACOSX/folder/._data.csv", "junk")
        archive.writestr(".DS_Store", "junk")
    assert read(path)[1] == [["1", "2"], ["0", "3"]]


def test_a_sample_ends_between_rows_and_says_that_it_is_one(tmp_path: Path) -> None:
    path = write(tmp_path / "x", "click,a\n" + "1,22\n0,33\n" * 5000)
    with open_rows(path, settings=Settings(), limit_bytes=1003) as reader:
        batches = list(reader.batches())
        assert reader.skipped.count == 0
        assert sum(batch.num_rows for batch in batches) == 199
        assert not reader.complete
        assert reader.rows_estimated == pytest.approx(10_000, rel=0.02)


def test_a_bomb_is_refused_at_the_limit(tmp_path: Path) -> None:
    line = b"1,2,3\n"
    path = write(tmp_path / "x.gz", gzip.compress(line * 1_000_000))
    small = Settings(max_unpacked_mb=5)
    with (
        pytest.raises(LimitError, match="unpacks to more than 5 MB"),
        open_rows(path, settings=small) as reader,
    ):
        list(reader.batches())
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", line * 1_000_000)
    with pytest.raises(LimitError, match="unpacks to 6 MB"):
        open_rows(tmp_path / "x.zip", settings=small)


def test_a_schema_names_the_columns_of_a_file_without_header(tmp_path: Path) -> None:
    format = FileFormat("text", ",")
    schema = Schema(
        format, (Column("y", "label"), Column("a", "categorical"), Column("b", "categorical"))
    )
    assert read(write(tmp_path / "x", "1,2,3\n0,2,3\n"), schema)[0] == ("y", "a", "b")
    assert read(write(tmp_path / "x", "2,3\n2,3\n"), schema)[0] == ("a", "b")


def test_other_columns_are_named(tmp_path: Path) -> None:
    format = FileFormat("text", ",", header=True)
    schema = Schema(
        format, (Column("y", "label"), Column("a", "categorical"), Column("b", "categorical"))
    )

    def check(text: str, **options: bool) -> None:
        with open_rows(write(tmp_path / "t", text), schema, settings=Settings()) as reader:
            check_same_columns(schema, reader, **options)

    check("b,y,a\n1,2,3\n")
    check("b,a\n1,2\n", label_needed=False)
    with pytest.raises(SchemaError, match=r"lacks 'b' and has 'c', 'd' besides"):
        check("y,a,c,d\n1,2,3,4\n")
    with pytest.raises(SchemaError, match="lacks the label 'y'"):
        check("b,a\n1,2\n")
    schema = Schema(FileFormat("text", ","), schema.columns)
    check("1,2,3\n1,2,3\n")
    check("2,3\n2,3\n", label_needed=False)
    with pytest.raises(SchemaError, match="has 4 columns, but 3 were agreed on"):
        check("1,2,3,4\n1,2,3,4\n")


def test_a_text_schema_also_reads_a_parquet_file_with_its_columns(tmp_path: Path) -> None:
    schema = Schema(
        FileFormat("text", ",", header=True), (Column("y", "label"), Column("a", "categorical"))
    )
    pq.write_table(pa.table({"y": [1], "a": ["x"]}), tmp_path / "x")
    assert read(tmp_path / "x", schema)[1] == [["1", "x"]]


def test_texts_that_are_numbers() -> None:
    texts = ["12", "-3.5", "1e6", "$12.50", "12,50", "1,234.5", "12%", "+5", " 7 ", "€ 3"]
    assert to_numbers(pa.array(texts)).to_pylist() == [
        *(12, -3.5, 1e6, 12.5, 12.5, 1234.5, 12, 5, 7, 3)
    ]
    nothing = ["", "NA", "null", "x", "1-2", "inf", "nan", "--", None]
    assert to_numbers(pa.array(nothing, pa.string())).null_count == len(nothing)
    assert to_numbers(pa.array([], pa.string())).to_pylist() == []


def test_real_files_are_read_whole() -> None:
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.exists():
        pytest.skip("the folder of real data is absent")
    for file, rows, columns in (
        ("avazu-sample/train.tsv.gz", 10_000, 17),
        ("avazu-sample/test.tsv.gz", 11_150, 17),
        ("frappe/valid.libsvm.gz", 57_722, 11),
        ("frappe/test.libsvm.gz", 28_860, 11),
    ):
        names, cells, numbers, skipped = read(folder / file)
        assert (len(names), len(cells), numbers[-1], skipped.count) == (columns, rows, rows - 1, 0)
        with gzip.open(folder / file, "rt") as text:
            expected = [[part.split(":")[0] for part in line.split()] for line in list(text)[:200]]
        assert cells[:200] == expected

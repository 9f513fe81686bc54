"""Files as other programs export them: titles above the table, odd separators, joined files."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from deepfm.config import Settings
from deepfm.data.dataset import prepare
from deepfm.data.dataset.times import read_times
from deepfm.data.reader import open_agreed, open_rows, to_numbers
from deepfm.data.schema import SEPARATORS, FileFormat, Inspection, inspect
from deepfm.errors import DataError, SchemaError

HEADER = ("clicked", "site", "age")
ROWS = [(str(n % 2), ("news", "sport", "travel")[n % 3], str(20 + n % 7)) for n in range(60)]


def table(
    separator: str = ",",
    *,
    header: Sequence[str] | None = HEADER,
    rows: Sequence[tuple[str, ...]] = ROWS,
) -> str:
    lines = [*([header] if header else []), *rows]
    return "".join(separator.join(line) + "\n" for line in lines)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=str(tmp_path / "home"))


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def look(path: Path) -> Inspection:
    return inspect(path, settings=Settings())


def cells(path: Path) -> list[list[str]]:
    with open_rows(path, settings=Settings()) as reader:
        return [list(row.values())[:-1] for batch in reader.batches() for row in batch.to_pylist()]


@pytest.mark.parametrize(
    ("above", "lines"),
    [
        ("Click report\n", 1),
        ("Click report\n\n1 May 2024\n", 3),
        ("Click report,,\n", 1),
        ("# exported by a tool\n# second line, with a comma\n", 2),
        ("sep=,\r\n", 1),
    ],
)
def test_lines_above_the_table_are_passed_over_and_told(
    tmp_path: Path, above: str, lines: int
) -> None:
    found = look(write(tmp_path / "x.csv", above + table()))
    assert found.schema.names == HEADER
    assert found.schema.format.skip == lines
    assert (found.sample_rows, found.skipped_rows) == (60, 0)
    assert "passed over" in found.warnings[0]
    assert FileFormat.from_dict(found.schema.format.to_dict()) == found.schema.format
    assert cells(tmp_path / "x.csv")[0] == ["0", "news", "20"]


def test_a_damaged_first_row_is_not_taken_for_a_title(tmp_path: Path) -> None:
    found = look(write(tmp_path / "x.csv", "1,news\n" + table(header=None)))
    assert found.schema.format.skip == 0
    assert (found.sample_rows, found.skipped_rows) == (60, 1)


def test_lines_above_the_table_cannot_be_fewer_than_none() -> None:
    with pytest.raises(SchemaError, match="give 0 or more"):
        FileFormat("text", skip=-1)


def test_a_header_that_is_commented_out_is_a_header(tmp_path: Path) -> None:
    assert look(write(tmp_path / "x.csv", "#" + table())).schema.names == HEADER


def test_a_header_that_comes_again_in_joined_files_is_left_out(tmp_path: Path) -> None:
    for quoted in ("", '"news"'):
        rows = [*ROWS[:40], HEADER, *ROWS[40:]]
        text = table(rows=rows).replace("news", quoted or "news", 1)
        found = look(write(tmp_path / "x.csv", text))
        assert found.schema.names == HEADER
        assert [(row.line, row.reason) for row in found.skipped] == [(42, "repeats the header")]
        assert found.sample_rows == 60


def test_rows_may_have_one_cell_more_than_the_header(tmp_path: Path) -> None:
    names = [(str(number), *row) for number, row in enumerate(ROWS)]
    assert look(write(tmp_path / "r.csv", table(rows=names))).schema.names == ("column_1", *HEADER)
    trailing = [(*row, "") for row in ROWS]
    found = look(write(tmp_path / "t.csv", table(rows=trailing)))
    assert found.schema.names == (*HEADER, "column_4")
    assert found.schema.columns[-1].role == "ignored"


@pytest.mark.parametrize("separator", ["\x01", "~", "^"])
def test_separators_of_databases_are_read(tmp_path: Path, separator: str) -> None:
    found = look(write(tmp_path / "x.txt", table(separator)))
    assert (found.schema.names, found.sample_rows) == (HEADER, 60)


def test_a_separator_that_is_not_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"separated by ':'.*replace it by a tab"):
        look(write(tmp_path / "x.dat", table(":")))


@pytest.mark.parametrize("separator", ["::", "||"])
@pytest.mark.parametrize("header", [HEADER, None])
def test_separators_of_two_signs_are_read(
    tmp_path: Path, separator: str, header: Sequence[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = separator[0]
    odd = [("1", f"a{one}b", ""), ("0", "", "5"), ("1", "", ""), ("0", f"x{one}y{one}z", "7")]
    path = write(tmp_path / "x.dat", table(separator, header=header, rows=[*ROWS, *odd]))
    for block in (8 << 20, 97, 64, 31):
        monkeypatch.setattr("deepfm.data.reader.blocks.BLOCK", block)
        found = look(path)
        assert found.schema.format.separator == separator
        assert found.schema.format.header == bool(header)
        assert FileFormat.from_dict(found.schema.format.to_dict()) == found.schema.format
        assert cells(path) == [[cell or None for cell in row] for row in [*ROWS, *odd]]
    assert SEPARATORS[separator] in found.schema.format.describe()


@pytest.mark.parametrize("separator", ["::", "||"])
@pytest.mark.parametrize("damaged", [False, True])
def test_quoted_cells_may_hold_a_separator_of_two_signs(
    tmp_path: Path, separator: str, damaged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    quoted = [(*row[:2], f'"one{separator}two ""{separator}"" {n}"') for n, row in enumerate(ROWS)]
    text = table(separator, header=("clicked", "site", f'"a{separator}b"'), rows=quoted)
    if damaged:
        text += f"1{separator}2\n"
    path = write(tmp_path / "x.dat", text)
    format = FileFormat("text", separator, header=True)
    for block in (8 << 20, 97, 64, 31):
        monkeypatch.setattr("deepfm.data.reader.blocks.BLOCK", block)
        with open_rows(path, format, settings=Settings()) as reader:
            rows = [row for batch in reader.batches() for row in batch.to_pylist()]
        assert reader.column_names == ("clicked", "site", f"a{separator}b")
        assert reader.skipped.count == damaged
        read = [row[f"a{separator}b"] for row in rows]
        assert read == [f'one{separator}two "{separator}" {n}' for n in range(60)]


def test_pipes_with_empty_cells_between_are_no_double_pipes(tmp_path: Path) -> None:
    rows = [(*row[:1], "", *row[1:]) for row in ROWS]
    found = look(
        write(tmp_path / "x", table("|", header=("clicked", "none", "site", "age"), rows=rows))
    )
    assert found.schema.format.separator == "|"
    assert found.schema.names == ("clicked", "none", "site", "age")


def test_double_colons_in_cells_separate_nothing(tmp_path: Path) -> None:
    rows = [(*row[:2], f"std::vector::{row[2]}") for row in ROWS]
    found = look(write(tmp_path / "x", table(rows=rows)))
    assert found.schema.format.separator == ","


def test_a_test_file_may_be_written_in_another_way(tmp_path: Path, settings: Settings) -> None:
    train = write(tmp_path / "train.csv", table())
    expected = prepare(train, train, settings=settings).parts["test"]
    others = {
        "separator": table(";"),
        "title": "Report\n" + table(),
        "more columns": table(header=(*HEADER, "new"), rows=[(*row, "x") for row in ROWS]),
        "labels": table(rows=[(row[0] + ".0", *row[1:]) for row in ROWS]),
        "words": table(rows=[("yes" if row[0] == "1" else "no", *row[1:]) for row in ROWS]),
    }
    for name, text in others.items():
        test = write(tmp_path / "test.csv", text)
        part = prepare(train, test, settings=settings).parts["test"]
        assert part.ids.tolist() == expected.ids.tolist(), name
        assert part.labels.tolist() == expected.labels.tolist(), name


def test_a_test_file_of_another_kind_says_so(tmp_path: Path, settings: Settings) -> None:
    train = write(tmp_path / "train.csv", table())
    page = write(tmp_path / "test.csv", "<!DOCTYPE html><html></html>\n")
    with pytest.raises(DataError, match="is a web page"):
        prepare(train, page, settings=settings)
    bare = write(tmp_path / "bare.csv", table(header=HEADER[1:], rows=[row[1:] for row in ROWS]))
    with pytest.raises(SchemaError, match=r"lacks the label 'clicked'.*score it with predict"):
        prepare(train, bare, settings=settings)
    with open_agreed(bare, look(train).schema, settings=settings) as reader:
        assert reader.column_names == HEADER[1:]


@pytest.mark.parametrize("missing", ["NA", "\\N", "null", "None"])
def test_labels_that_say_nothing_are_left_out(
    tmp_path: Path, settings: Settings, missing: str
) -> None:
    rows = [(missing, "news", "33"), *ROWS, (missing, "sport", "44")]
    path = write(tmp_path / "x.csv", table(rows=rows))
    schema = look(path).schema
    assert (schema.positive, schema.negative, schema.left_out) == (("1",), ("0",), (missing,))
    dataset = prepare(path, settings=settings, validation=0.0)
    assert dataset.skipped.reasons == {f"label {missing!r} in column 'clicked' is left out": 2}
    later = prepare(path, schema=look(write(tmp_path / "y.csv", table())).schema, settings=settings)
    assert later.skipped.count == 2


def test_values_of_the_label_are_said_by_hand(tmp_path: Path, settings: Settings) -> None:
    rows = [(str(1 + n % 5), *row[1:]) for n, row in enumerate(ROWS)]
    path = write(tmp_path / "x.csv", table(header=("rating", *HEADER[1:]), rows=rows))
    dataset = prepare(
        path, label="rating", positive=["4", "5"], left_out="3", settings=settings, validation=0.0
    )
    assert dataset.schema.negative == ("1", "2")
    assert dataset.schema.left_out == ("3",)
    part = dataset.summary().parts["train"]
    assert (part.rows, part.clicks, dataset.skipped.count) == (48, 24, 12)
    total = write(tmp_path / "y.csv", table(rows=[*ROWS, ("Total", "", "")]))
    with pytest.raises(SchemaError, match=r"holds 'Total' on line 62"):
        prepare(total, settings=settings)
    assert prepare(total, left_out="Total", settings=settings).skipped.count == 1


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.234,50", 1234.5),
        ("1.234.567", 1234567.0),
        ("1'234.5", 1234.5),
        ("1\u202f234", 1234.0),
        ("12.50 EUR", 12.5),
        ("USD 12.50", 12.5),
        ("(12.5)", -12.5),
        ("1.234", 1.234),
        ("12.34,5", None),
        ("(12", None),
        ("-inf", None),
    ],
)
def test_amounts_are_read_as_people_write_them(text: str, number: float | None) -> None:
    assert to_numbers(pa.array([text, "x"])).to_pylist() == [number, None]


@pytest.mark.parametrize(
    "written", ["0{}/Mar/2024:10:00:00 +0000", "Fri, 0{} Mar 2024 10:00:00 GMT"]
)
def test_times_of_servers_are_read(tmp_path: Path, written: str) -> None:
    texts = [written.format(1 + n % 9) for n in range(60)]
    rows = [(*row, when) for row, when in zip(ROWS, texts, strict=True)]
    found = look(write(tmp_path / "x.tsv", table("\t", header=(*HEADER, "seen"), rows=rows)))
    assert found.schema.column("seen").role == "time"
    times = read_times("seen", lambda: [pa.array(texts[:2])])
    assert (times - times[0]).tolist() == [0.0, 86_400.0]
    assert times[0] == 1_709_287_200.0


def test_a_label_taken_by_its_values_alone_is_told(tmp_path: Path, settings: Settings) -> None:
    rows = [(row[0], row[1], "ab"[n % 2]) for n, row in enumerate(ROWS)]
    path = write(tmp_path / "x.csv", table(header=("code", "site", "kind"), rows=rows))
    doubt = "No column has the name of a label, so 'code' was taken"
    assert look(path).warnings[0].startswith(doubt)
    told: list[str] = []
    prepare(path, settings=settings, on_event=lambda event: told.append(str(event)))
    assert any(doubt in text for text in told)
    told.clear()
    prepare(path, label="code", settings=settings, on_event=lambda event: told.append(str(event)))
    assert not any(doubt in text for text in told)


@pytest.mark.parametrize("one", ["1", "CLICK"])
def test_empty_cells_beside_one_label_value_are_named(
    tmp_path: Path, settings: Settings, one: str
) -> None:
    rows = [(one if row[0] == "1" else "", *row[1:]) for row in ROWS]
    path = write(tmp_path / "x.csv", table(rows=rows))
    assert "write 0 there first" in look(path).label_warnings[0]
    with pytest.raises(SchemaError, match="label"):
        prepare(path, settings=settings)


def test_a_zip_may_hold_a_readme_beside_the_table(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("README.txt", "Read me.")
        archive.writestr("data/clicks.csv", table())
    assert look(tmp_path / "x.zip").schema.names == HEADER


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"),
        (b"\x80\x04\x95" + bytes(40), "a Python pickle"),
        (b"a.csv" + bytes(252) + b"ustar\x0000" + bytes(300), "a tar archive"),
        (b'[["1", "news"], ["0", "sport"]]', "is JSON"),
    ],
)
def test_more_files_that_are_no_tables_are_named(tmp_path: Path, head: bytes, said: str) -> None:
    (tmp_path / "x").write_bytes(head)
    with pytest.raises(DataError, match=said):
        look(tmp_path / "x")


def test_quotes_after_a_backslash_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    title = ('say \\"hi\\", you', "say \\\\", "plain")
    rows = [(*row[:2], f'"{title[n % 3]}"') for n, row in enumerate(ROWS)]
    path = write(tmp_path / "x.csv", table(header=("clicked", "site", "title"), rows=rows))
    for block in (8 << 20, 97, 64):
        monkeypatch.setattr("deepfm.data.reader.blocks.BLOCK", block)
        found = look(path)
        assert found.schema.format.escape
        assert FileFormat.from_dict(found.schema.format.to_dict()) == found.schema.format
        read = [row[2] for row in cells(path)]
        assert read == ['say "hi", you', "say \\", "plain"] * 20


def test_a_cell_that_ends_in_a_backslash_needs_no_escape(tmp_path: Path) -> None:
    rows = [(*row[:2], '"C:\\"') for row in ROWS]
    path = write(tmp_path / "x.csv", table(header=("clicked", "site", "path"), rows=rows))
    assert not look(path).schema.format.escape
    assert {row[2] for row in cells(path)} == {"C:\\"}

"""Any file is read or gives one clear error; nothing is dropped without a word."""

import bz2
import gzip
import json
import lzma
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from deepfm.config import Settings
from deepfm.data.reader import open_rows
from deepfm.data.schema import Column, FileFormat, Schema, inspect
from deepfm.errors import DataError, DeepFMError, LimitError

SETTINGS = Settings()
TABLE = "click,site,n\n" + "1,news,3\n0,shop,4\n" * 30


def refused(
    path: Path, kind: type[DeepFMError] = DataError, format: FileFormat | None = None
) -> str:
    """The one sentence with which inspecting, and reading, this file fails."""
    schema = Schema(format, ()) if format else None
    with pytest.raises(kind) as inspecting:
        inspect(path, settings=SETTINGS, schema=schema)
    return str(inspecting.value)


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_a_missing_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "no.csv") == "There is no file 'no.csv'. Check the path."


def test_a_folder(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path.name!r} is a folder. Give one file."


def test_a_device() -> None:
    assert refused(Path("/dev/null")) == "'null' is not a regular file. Give one file."


def test_an_empty_file(tmp_path: Path) -> None:
    assert "is empty (0 bytes)" in refused(write(tmp_path / "x.csv", ""))


@pytest.mark.parametrize("text", ["\n\n\n", " \n \r\n", "\ufeff"])
def test_nothing_but_blank_lines(tmp_path: Path, text: str) -> None:
    assert "nothing but blank lines" in refused(write(tmp_path / "x.csv", text))


@pytest.mark.parametrize("text", ["click,site,n\n", "click\tsite", "click;a;b\r\n\r\n"])
def test_a_header_only(tmp_path: Path, text: str) -> None:
    assert "has a header but no rows" in refused(write(tmp_path / "x.csv", text))


def test_an_empty_parquet_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"y": pa.array([], pa.int64()), "a": pa.array([])}), tmp_path / "x")
    assert "has no rows" in refused(tmp_path / "x")
    pq.write_table(pa.table({}), tmp_path / "x")
    assert "has no columns" in refused(tmp_path / "x")


def test_one_column_only(tmp_path: Path) -> None:
    said = refused(write(tmp_path / "x.csv", "click\n" + "1\n0\n" * 20))
    assert "has one column only" in said and "choose another separator" in said
    pq.write_table(pa.table({"y": [1, 0]}), tmp_path / "x")
    assert "has one column only" in refused(tmp_path / "x")


def test_the_wrong_delimiter(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", TABLE)
    said = refused(path, format=FileFormat("text", ";", header=True))
    assert "one column only when split at semicolon" in said
    text = "click,site\n" + "1,a b c\n0,d\n" * 20
    said = refused(write(path, text), format=FileFormat("text", " ", header=True))
    assert "one column only when split at space" in said
    text = "click;a,b\n" + "1;x\n0;y,z,z\n" * 20
    said = refused(write(path, text), format=FileFormat("text", ",", header=True))
    assert said.endswith("The separator is probably not comma; choose another.")
    assert "1 column instead of 2 (line 2)" in said


def test_a_file_of_mostly_ragged_rows(tmp_path: Path) -> None:
    draw = random.Random(0)
    rows = "".join("\t".join("a" * draw.randrange(1, 9)) + "\n" for _ in range(5000))
    format = FileFormat("text", "\t", header=True)
    with (
        open_rows(write(tmp_path / "x", "a\tb\tc\n" + rows), format, settings=SETTINGS) as reader,
        pytest.raises(DataError, match="rows of 'x' cannot be read, most of them for this"),
    ):
        list(reader.batches())


@pytest.mark.parametrize("share", [0, 1, 3])
def test_some_ragged_rows_are_named_and_the_rest_is_read(tmp_path: Path, share: int) -> None:
    lines = TABLE.splitlines()
    for n in range(share):
        lines[10 * n + 5] += ",extra"
    found = inspect(write(tmp_path / "x.csv", "\n".join(lines)), settings=SETTINGS)
    assert found.sample_rows == 60 - share and found.skipped_rows == share
    assert [row.line for row in found.skipped] == [10 * n + 6 for n in range(share)]
    assert bool(found.warnings) == bool(share)


def test_random_bytes(tmp_path: Path) -> None:
    data = random.Random(0).randbytes(20_000)
    assert "is not text" in refused(write(tmp_path / "x.csv", data))


def test_prose_is_no_table(tmp_path: Path) -> None:
    draw = random.Random(0)
    lines = [" ".join(["word"] * draw.randrange(1, 30)) for _ in range(200)]
    assert "one column only" in refused(write(tmp_path / "x", "\n".join(lines)))


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"BZh91AY", "compressed data end too early"),
        (b"\xfd7zXZ\x00", "compressed data end too early"),
        (b"\x02\x21\x4c\x18" + bytes(40), "an old lz4"),
        (b"\xff\x06\x00\x00sNaPpY", "snappy"),
        (b"LZIP\x01", "lzip"),
        (b"\x1f\x9d\x90", "compress (.Z)"),
        (gzip.compress(lzma.compress(TABLE.encode())), "packed twice"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"%PDF-1.7", "PDF"),
        (b"\x89PNG\r\n", "picture"),
        (b"SQLite format 3\x00", "SQLite"),
        (b"FEA1", "version 1"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b'{"click": 1}\n', "has one column only"),
        (b'[{"click": 1}]', "has one column only"),
        (b'{"click": 1', "is JSON, but neither one object a line"),
        (b"\xff\xfe\x00\x00a\x00\x00\x00", "UTF-32"),
        (gzip.compress(gzip.compress(TABLE.encode())), "packed twice"),
    ],
)
def test_files_of_another_kind_are_named(tmp_path: Path, head: bytes, said: str) -> None:
    assert said in refused(write(tmp_path / "x.csv", head))


def test_text_that_is_not_in_its_encoding(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "click,straße\n1,öl\n0,öl\n".encode("cp1252"))
    found = inspect(path, settings=SETTINGS)
    assert found.schema.format.encoding == "windows-1252"
    assert found.rows == (("1", "öl"), ("0", "öl"))
    assert any("Windows-1252" in warning for warning in found.warnings)
    assert "choose another" in refused(
        write(path, "click,a\n" + "1,ö\n0,ä\n" * 20 + "").parent / "x.csv",
        format=FileFormat("text", ";", header=True),
    )
    path.write_bytes(("click,a\n" + "1,ö\n0,ä\n" * 20).encode("cp1252"))
    said = refused(path, format=FileFormat("text", ",", header=True))
    assert "is not UTF-8 text (line 2)" in said and "Choose another encoding" in said
    path.write_bytes("click,a\n1,b\n".encode("utf-16")[:-1])
    assert "is not UTF-16 text all through" in refused(path)


def test_nul_bytes_cost_their_row(tmp_path: Path) -> None:
    data = TABLE.encode().replace(b"news", b"ne\0ws", 2)
    found = inspect(write(tmp_path / "x.csv", data), settings=SETTINGS)
    assert [(row.line, row.reason) for row in found.skipped] == [
        (2, "holds a NUL byte"),
        (4, "holds a NUL byte"),
    ]


PACKED = {
    "gzip": gzip.compress,
    "zstd": lambda data: pa.compress(data, "zstd", asbytes=True),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lz4": lambda data: pa.compress(data, "lz4", asbytes=True),
}


@pytest.mark.parametrize("cut", [1, 8, 40])
@pytest.mark.parametrize("packed", PACKED)
def test_a_truncated_packed_file(tmp_path: Path, cut: int, packed: str) -> None:
    data = PACKED[packed]((TABLE * 3).encode())
    said = refused(write(tmp_path / "x.csv.gz", data[:-cut]))
    assert said == (
        "'x.csv.gz' cannot be read: its compressed data end too early; copy or download it again."
    )


@pytest.mark.parametrize("packed", ["bzip2", "xz", "lz4"])
def test_a_damaged_packed_file(tmp_path: Path, packed: str) -> None:
    data = bytearray(PACKED[packed]((TABLE * 30).encode()))
    data[-30] ^= 0xFF
    assert "compressed data are damaged" in refused(write(tmp_path / "x", bytes(data)))
    junk = PACKED[packed](TABLE.encode()) + b"what follows is not packed"
    assert "cannot be read" in refused(write(tmp_path / "x", junk))


@pytest.mark.parametrize("packed", PACKED)
def test_a_packed_file_past_the_limit(tmp_path: Path, packed: str) -> None:
    path = write(tmp_path / "x", PACKED[packed](b"1,2\n" * 1_000_000))
    format = FileFormat("text", ",")
    with (
        pytest.raises(LimitError, match=r"unpacks to more than 3 MB, the limit of this server"),
        open_rows(path, format, settings=Settings(max_unpacked_mb=3)) as reader,
    ):
        list(reader.batches())


def test_an_xz_file_that_asks_for_too_much_memory(tmp_path: Path) -> None:
    wide = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 300 << 20}]
    data = lzma.compress(TABLE.encode(), filters=wide)
    said = refused(write(tmp_path / "x.xz", data))
    assert said.startswith("'x.xz' needs more than 256 MB of memory to be unpacked; unpack it")


def test_a_gzip_with_a_wrong_checksum(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(TABLE.encode()))
    packed[-6] ^= 1
    assert "its checksum is wrong" in refused(write(tmp_path / "x.csv.gz", bytes(packed)))


def zipped(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, TABLE)
    return path


def test_zip_archives_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    assert "holds several files: 'a.csv', 'b.csv'." in refused(zipped(path, "a.csv", "b.csv"))
    assert "and 2 more" in refused(zipped(path, *(f"{n}.csv" for n in range(7))))
    assert "no data file in it" in refused(zipped(path, ".hidden", "__MACOSX/a.csv"))
    assert "no data file in it" in refused(zipped(path))
    assert "is an Excel" in refused(zipped(path, "[Content_Types].xml", "xl/workbook.xml"))
    for outside in ("../a.csv", "/etc/a.csv", "a/../../b.csv", "C:\\a.csv", "..\\a.csv"):
        assert "a path outside the archive" in refused(zipped(path, outside))
    data = zipped(path, "a.csv").read_bytes()
    assert "cannot be read" in refused(write(path, data[:-30]))
    flipped = bytearray(data)
    flipped[60] ^= 0xFF
    assert "cannot be read" in refused(write(path, bytes(flipped)))
    locked = bytearray(data)
    locked[6] |= 1
    locked[data.index(b"PK\x01\x02") + 8] |= 1
    assert "protected by a password" in refused(write(path, bytes(locked)))


def test_a_zip_bomb(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", b"1,2\n" * 1_000_000)
    with pytest.raises(LimitError, match=r"unpacks to 4 MB; the limit of this server is 3 MB"):
        inspect(path, settings=Settings(max_unpacked_mb=3))
    # An archive that lies about its size is found out while it is unpacked.
    data = path.read_bytes()
    size, lie = (4_000_000).to_bytes(4, "little"), (1_000).to_bytes(4, "little")
    path.write_bytes(data.replace(size, lie))
    with pytest.raises(DataError, match="checksum is wrong"):
        inspect(path, settings=Settings(max_unpacked_mb=3))


def test_a_line_too_long_for_any_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepfm.data.reader.blocks.MAX_LINE", 1 << 20)
    monkeypatch.setattr("deepfm.data.reader.blocks.BLOCK", 1 << 18)
    path = write(tmp_path / "x", "a,b\n1,2\n1," + "x" * (3 << 20))
    with (
        open_rows(path, FileFormat("text", ",", header=True), settings=SETTINGS) as reader,
        pytest.raises(DataError, match="Line 3 of 'x' is longer than 1 MB"),
    ):
        list(reader.batches())


def test_damaged_parquet_and_feather_are_data_errors(tmp_path: Path) -> None:
    table = pa.table({"y": [0, 1] * 50, "a": ["x", "y"] * 50})
    path = tmp_path / "x"
    pq.write_table(table, path)
    assert "cannot be read" in refused(write(path, path.read_bytes()[:-10]))
    pyarrow.feather.write_feather(table, path)
    assert "cannot be read" in refused(write(path, path.read_bytes()[:-10]))


# A law over all formats: each mutation of each file is read, or refused in one sentence.

TYPED = pa.table(
    {
        "click": [0, 1] * 40,
        "site": ["news", "shop"] * 40,
        "price": [0.5, 2.0] * 40,
        "kind": pa.array(["a", "b"] * 40).dictionary_encode(),
    }
)


def _text_files() -> Iterator[tuple[str, bytes]]:
    quoted = 'click;text;n\n1;"a ""b""\nc";3\n0;"";4\n' * 12
    yield "plain", TABLE.encode()
    yield "quoted", quoted.encode()
    yield "utf16", TABLE.encode("utf-16")
    yield "cp1252", TABLE.replace("news", "nöws").encode("cp1252")
    chinese = TABLE.replace("news", "体育新闻").replace("shop", "家用电器")
    yield "gb18030", chinese.encode("gb18030")
    yield "colons", TABLE.replace(",", "::").encode()
    yield "pipes", quoted.replace(";", "||").encode()
    objects = [{"click": n % 2, "site": {"name": "news", "tags": [n, None]}} for n in range(40)]
    yield "json_lines", "\n".join(map(json.dumps, objects)).encode()
    yield "json_array", json.dumps(objects).encode()
    yield "libsvm", b"1 1:1 2:1 3:0.5\n0 4:1 5:1 3:0.7\n" * 20
    yield "libffm", b"1 0:1:1 1:5:1\n0 0:2:1 1:6:1\n" * 20
    yield "gzip", gzip.compress(TABLE.encode())
    yield "bzip2", bz2.compress(TABLE.encode())
    yield "xz", lzma.compress(TABLE.encode())
    yield "lz4", pa.compress(TABLE.encode(), "lz4", asbytes=True)
    yield "zstd", pa.compress(TABLE.encode(), "zstd", asbytes=True)


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    yield from _text_files()
    yield "zip", zipped(folder / "seed.zip", "x.csv").read_bytes()
    pq.write_table(TYPED, folder / "seed", compression="zstd")
    yield "parquet", (folder / "seed").read_bytes()
    pyarrow.feather.write_feather(TYPED, folder / "seed", compression="uncompressed")
    yield "feather", (folder / "seed").read_bytes()
    pyarrow.feather.write_feather(TYPED, folder / "seed", compression="lz4")
    yield "feather_lz4", (folder / "seed").read_bytes()
    with pa.ipc.new_stream(folder / "seed", TYPED.schema) as writer:
        writer.write_table(TYPED)
    yield "stream", (folder / "seed").read_bytes()


def _truncate(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def _flip(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 8])):
        changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _insert(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data))
    junk = draw.choice([b"\0", b"\0" * 40, b'"', b"\xff", b"\r", b"\n", b",,,", draw.randbytes(9)])
    return data[:place] + junk + data[place:]


def _cut_out(data: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(data))
    return data[:start] + data[start + draw.randrange(60) :]


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _truncate,
    _flip,
    _insert,
    _cut_out,
)
FORMATS = (
    *("plain", "quoted", "utf16", "cp1252", "gb18030", "colons", "pipes", "json_lines"),
    *("json_array", "libsvm", "libffm"),
    *("gzip", "zstd", "bzip2", "xz", "lz4", "zip", "parquet", "feather", "feather_lz4", "stream"),
)

_READER = """
import json, sys
from pathlib import Path
from deepfm.config import Settings
from deepfm.data.reader import open_rows
from deepfm.data.schema import Inspection, inspect
from deepfm.errors import DeepFMError

settings = Settings(max_unpacked_mb=50)
for line in sys.stdin:
    path = Path(line.strip())
    try:
        found = inspect(path, settings=settings)
        assert Inspection.from_dict(json.loads(json.dumps(found.to_dict()))) == found
        with open_rows(path, found.schema, settings=settings) as reader:
            good = sum(batch.num_rows for batch in reader.batches())
            assert good + reader.skipped.count == reader.rows_read
        print("read", flush=True)
    except DeepFMError as error:
        assert len(str(error)) > 20 and "\\n" not in str(error), str(error)
        print("refused", flush=True)
"""


@pytest.mark.parametrize("name", FORMATS)
def test_every_mutation_is_read_or_refused(tmp_path: Path, name: str) -> None:
    data = dict(_files(tmp_path))[name]
    draw = random.Random(name)
    paths = []
    for number in range(120):
        mutated = MUTATIONS[number % len(MUTATIONS)](data, draw)
        paths.append(write(tmp_path / f"m{number}", mutated))
    answers: list[str] = []
    while len(answers) < len(paths):
        rest = "\n".join(str(path) for path in paths[len(answers) :])
        child = subprocess.run(
            [sys.executable, "-W", "error", "-c", _READER],
            input=rest,
            capture_output=True,
            text=True,
            timeout=300,
            cwd=Path(__file__).parents[2],
        )
        answers += child.stdout.split()
        if child.returncode > 0:
            failed = paths[len(answers)]
            pytest.fail(f"{failed.read_bytes()[:2000]!r}\n{child.stderr[-3000:]}")
        if child.returncode < 0:
            # The reader died of a signal, as pyarrow has been seen to over Arrow files; that is
            # why inspecting and preparing have a process of their own.
            assert name in ("feather", "feather_lz4", "stream", "parquet")
            answers.append("died")
    assert len(answers) == len(paths)
    assert answers.count("died") <= 6, json.dumps(answers)
    assert "read" in answers or name in ("gzip", "bzip2", "xz", "zip", "parquet")
    assert "refused" in answers or name in (
        "plain",
        "quoted",
        "cp1252",
        "gb18030",
        "colons",
        "pipes",
        "json_lines",
        "libsvm",
        "libffm",
    )


def test_a_schema_of_no_columns_is_guessed_again(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", TABLE)
    schema = Schema(FileFormat("text", ",", header=True), (Column("other", "label"),))
    found = inspect(path, settings=SETTINGS, schema=schema)
    assert found.schema.names == ("click", "site", "n")

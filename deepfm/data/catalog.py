"""Known sets to datasets: the bundled demo, and the D2L ctr set from its public hub or by hand."""

import hashlib
import http.client
import shutil
import tempfile
import urllib.error
import urllib.request
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import pyarrow as pa

from deepfm.config import PrepareConfig, Settings
from deepfm.data.dataset.folder import Dataset
from deepfm.data.dataset.making import (
    Recipe,
    dataset_folder,
    fingerprint_of,
    make_once,
    prepare,
)
from deepfm.data.dataset.recording import Source
from deepfm.data.reader import ROW
from deepfm.data.reporting import OnEvent, Reporter, ShouldStop
from deepfm.data.schema import Column, FileFormat, Schema
from deepfm.data.synthetic import (
    DEMO_FIELDS,
    DEMO_LABEL,
    DEMO_ROWS,
    DEMO_VERSION,
    PINNED,
    PinnedImpression,
    demo_table,
    true_probability,
    write_demo,
)
from deepfm.errors import DataError, DownloadError, LimitError

__all__ = [
    "D2L_CONFIG",
    "D2L_NAME",
    "D2L_SCHEMA",
    "D2L_SHA1",
    "D2L_URL",
    "DEMO_NAME",
    "PINNED",
    "PinnedImpression",
    "check_d2l",
    "demo_table",
    "fetch_d2l",
    "is_d2l_zip",
    "open_demo",
    "prepare_d2l",
    "true_probability",
    "write_demo",
]

DEMO_NAME: Final = "demo"
_DEMO_CONFIG: Final = PrepareConfig()
_LONGEST_ROW: Final = 100_000
_DEMO_SCHEMA: Final = Schema(
    FileFormat("text", separator="\t", header=True),
    (
        Column(DEMO_LABEL, "label", "1 clicked, 0 not"),
        *(Column(name, "categorical", "has few values that repeat") for name in DEMO_FIELDS),
    ),
    positive=("1",),
    negative=("0",),
)


def open_demo(
    home: Path | None = None,
    *,
    config: PrepareConfig = _DEMO_CONFIG,
    name: str = DEMO_NAME,
    on_event: OnEvent | None = None,
    cancelled: ShouldStop | None = None,
) -> Dataset:
    """The bundled demo: 60,000 impressions with their true click probability.

    home          folder of all state; by default that of the settings
    config, name  for the same rows prepared otherwise
    Made within two seconds at the first call, without network, and opened afterwards.
    """
    settings = Settings.from_environment()
    home = home or settings.home_folder
    fingerprint = fingerprint_of({"demo": str(DEMO_VERSION)}, config, _DEMO_SCHEMA)
    recipe = Recipe(name, fingerprint, _DEMO_SCHEMA, config, settings)
    reporter = Reporter(on_event, cancelled)
    return make_once(dataset_folder(home, fingerprint), recipe, _demo_sources, reporter)


@contextmanager
def _demo_sources() -> Iterator[list[Source]]:
    yield [_demo_source(part) for part in DEMO_ROWS]


def _demo_source(part: str) -> Source:
    table = demo_table(part)
    text = table.drop_columns(["truth"]).append_column(ROW, pa.array(np.arange(len(table))))
    size = text.nbytes
    return Source(
        f"{part}.tsv",
        part,
        text.to_batches(),
        lines=lambda: lambda row: row + 2,
        position=lambda: (size, size),
        truth=table["truth"].to_numpy().astype(np.float32),
    )


D2L_NAME: Final = "D2L ctr"
D2L_URL: Final = "http://d2l-data.s3-accelerate.amazonaws.com/ctr.zip"
D2L_SHA1: Final = "e18327c48c8e8e5c23da714dd614e390d369843f"
"""What decides whether a file is the set; the address is not encrypted and need not be."""

D2L_CONFIG: Final = PrepareConfig(min_count=4, validation=0.0)
D2L_SCHEMA: Final = Schema(
    FileFormat("text", separator="\t", header=False, quote=False),
    (
        Column("label", "label", "1 clicked, 0 not"),
        *(Column(f"field_{k}", "categorical", "a value without its meaning") for k in range(1, 35)),
    ),
    positive=("1",),
    negative=("0",),
)
_D2L_FILES: Final = ("train.csv", "test.csv")
_D2L_FIRST_ROW: Final = (
    *(143, 144, 227, 231, 957, 1250, 1471, 1566, 1624, 1736, 2008, 2061),
    *(2225, 2304, 2305, 2360, 2745, 2746, 2747, 2748, 2892, 2988, 3165, 3182),
    *(3194, 3195, 3279, 3651, 3687, 3708, 3722, 3751, 3786, 3801),
)
_WAYS_ON: Final = (
    "Download ctr.zip on another machine and give it by hand (upload it, or give its path to "
    "python -m deepfm prepare), or use the bundled demo."
)
_BLOCK: Final = 1 << 16
_DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
)
"""What zipfile has been seen to raise over a damaged or encrypted archive."""


def fetch_d2l(
    home: Path | None = None,
    *,
    url: str = D2L_URL,
    sha1: str = D2L_SHA1,
    timeout_s: float = 20.0,
    on_event: OnEvent | None = None,
    cancelled: ShouldStop | None = None,
) -> Dataset:
    """The ctr set of "Dive into Deep Learning": 15,000 training and 3,000 test impressions.

    home        folder of all state; the archive is kept in its folder "downloads"
    sha1        what the archive must be; one that is there and has it is not fetched again
    timeout_s   longest wait for the server's next bytes, in seconds
    DownloadError says why it could not be had, and the ways on.
    """
    settings = Settings.from_environment()
    home = home or settings.home_folder
    archive = home / "downloads" / PurePosixPath(url).name
    if not (archive.is_file() and _sha1(archive) == sha1):
        limit = settings.max_upload_mb * 1_000_000
        _download(url, archive, sha1, timeout_s, limit, Reporter(on_event, cancelled))
    return prepare_d2l(archive, home, on_event=on_event, cancelled=cancelled)


def is_d2l_zip(path: Path) -> bool:
    """Whether a file is of the form of D2L's ctr.zip: one train.csv and one test.csv, whose rows
    are a label and 34 values with tabs between.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _d2l_members(archive)
            if members is None:
                return False
            with archive.open(members[0]) as file:
                return file.readline(_LONGEST_ROW).count(b"\t") == len(D2L_SCHEMA.fields)
    except _DAMAGED:
        return False


def prepare_d2l(
    archive: Path,
    home: Path | None = None,
    *,
    out: Path | None = None,
    config: PrepareConfig = D2L_CONFIG,
    on_event: OnEvent | None = None,
    cancelled: ShouldStop | None = None,
) -> Dataset:
    """D2L's ctr.zip, however it was had, to a dataset; by default prepared as the deck does.

    Where the archive is the real one, its first training row is compared with what is known of
    it; a difference is told as a Notice (without on_event as a warning). DataError where the
    archive is damaged or holds other files.
    """
    settings = Settings.from_environment()
    if home is not None:
        settings = settings.with_values(home=str(home))
    with tempfile.TemporaryDirectory() as scratch:
        train, test = _unpack_d2l(archive, Path(scratch), settings)
        dataset = prepare(
            train,
            test,
            config=config,
            schema=D2L_SCHEMA,
            out=out,
            name=D2L_NAME,
            on_event=on_event,
            cancelled=cancelled,
            settings=settings,
        )
    difference = check_d2l(dataset) if _sha1(archive) == D2L_SHA1 else None
    if difference and on_event:
        Reporter(on_event).notice("self-check", difference)
    elif difference:
        warnings.warn(difference, stacklevel=2)
    return dataset


def check_d2l(dataset: Dataset) -> str | None:
    """How the first training row of the real set, prepared as the deck does, differs from what
    is known of it; None where it does not, or was prepared in another way.
    """
    if dataset.prepare.min_count != D2L_CONFIG.min_count or dataset.prepare.validation:
        return None
    train = dataset.parts["train"]
    found = (*train.ids[0].tolist(), int(train.labels[0]))
    expected = (*_D2L_FIRST_ROW, 1)
    if found == expected:
        return None
    place = next(i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
    what = "the label" if place == len(_D2L_FIRST_ROW) else f"field_{place + 1}"
    return (
        f"The D2L ctr set is encoded in another way than known: in its first training row {what} "
        f"is {found[place]}, expected {expected[place]}. Figures of the deck may not be reached."
    )


def _download(
    url: str, target: Path, sha1: str, timeout_s: float, limit: int, reporter: Reporter
) -> None:
    """Fetch to a file aside, check it, rename it into place; nothing is left where that fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as aside:
        fetched = Path(aside) / target.name
        try:
            with urllib.request.urlopen(url, timeout=timeout_s) as response:
                _receive(response, fetched, limit, reporter)
        except urllib.error.HTTPError as error:
            error.close()
            raise _not_fetched(url, f"the server answered {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            raise _not_fetched(url, _network_reason(error)) from error
        found = _sha1(fetched)
        if found != sha1:
            raise _not_fetched(url, f"what came has the SHA-1 {found}, expected {sha1}")
        fetched.replace(target)


def _receive(
    response: http.client.HTTPResponse, target: Path, limit: int, reporter: Reporter
) -> None:
    length = response.headers.get("Content-Length")
    total = int(length) if length and length.isdigit() else None
    done = 0
    with target.open("wb") as file:
        while block := response.read(_BLOCK):
            file.write(block)
            done += len(block)
            reporter.step(f"Fetching {target.name}", done, total, "bytes")
            if done > limit:
                raise OSError(f"more than {limit:,} bytes came")
    if total is not None and done < total:
        raise ConnectionError(f"the connection broke after {done:,} of {total:,} bytes")


def _network_reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "the server did not answer in time"
    return str(getattr(reason, "strerror", None) or reason) or type(reason).__name__


def _not_fetched(url: str, why: str) -> DownloadError:
    return DownloadError(f"The D2L ctr set could not be fetched from {url}: {why}. {_WAYS_ON}")


def _sha1(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


def _d2l_members(archive: zipfile.ZipFile) -> list[str] | None:
    """The names of train.csv and test.csv in the archive; None unless each is there once."""
    members = []
    for wanted in _D2L_FILES:
        found = [name for name in archive.namelist() if PurePosixPath(name).name == wanted]
        found = [name for name in found if not name.startswith("__MACOSX/")]
        if len(found) != 1:
            return None
        members += found
    return members


def _unpack_d2l(path: Path, folder: Path, settings: Settings) -> list[Path]:
    """train.csv and test.csv of the archive, written into the folder under these names."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = _d2l_members(archive)
            if members is None:
                raise DataError(
                    f"{path.name} is not D2L's ctr.zip: it does not hold one train.csv and one "
                    "test.csv. Give ctr.zip, or a single file of click data."
                )
            _check_unpacked(archive, members, settings)
            for member, name in zip(members, _D2L_FILES, strict=True):
                with archive.open(member) as packed, (folder / name).open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except _DAMAGED as error:
        raise DataError(f"{path.name} cannot be unpacked ({error}). Fetch it again.") from error
    return [folder / name for name in _D2L_FILES]


def _check_unpacked(archive: zipfile.ZipFile, members: list[str], settings: Settings) -> None:
    # zipfile stops reading a member at the size its entry claims, so that the claim can be used.
    size = sum(archive.getinfo(member).file_size for member in members)
    if size > settings.max_unpacked_mb * 1_000_000:
        raise LimitError(
            f"The archive unpacks to {size / 1e6:,.0f} MB; this server takes "
            f"{settings.max_unpacked_mb:,} MB (DEEPFM_MAX_UNPACKED_MB)."
        )

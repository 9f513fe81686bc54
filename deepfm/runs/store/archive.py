"""A run to one file, and one file to a run: a zip with fixed member names, read with suspicion.

run.json      what the store knows of the run, of version VERSION
events.jsonl  what it reported, a line each
run/NAME      the files of its folder, of those in FOLDER_FILES that are there

A file from elsewhere may be anything. Each member must have one of these names, once, be a plain
file, not encrypted, and all of them together no larger than this server unpacks; sizes are
counted while they are read, whatever the zip says of them. Nothing else is ever written.
"""

import dataclasses
import json
import math
import re
import stat
import struct
import types
import typing
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deepfm.config import ModelConfig, TrainConfig
from deepfm.errors import ConfigError, DataError, LimitError, RunError, StoreError
from deepfm.events import Event, Finished, from_json, to_json
from deepfm.formats import format_bytes
from deepfm.runs.store.keeping import check_name, check_note, check_tags
from deepfm.runs.store.rows import RUN_ENDS, RunRow, RunState, check_id

VERSION: Final = 1
RUN: Final = "run.json"
EVENTS: Final = "events.jsonl"
FOLDER: Final = "run/"
FOLDER_FILES: Final = (
    "config.json",
    "schema.json",
    "vocabulary.parquet",
    "model.safetensors",
    "reference.npy",
    "scores.parquet",
    "impressions.parquet",
    "impression_ids.npy",
    "metrics.jsonl",
    "environment.json",
    "result.json",
    "baselines.json",
    "beyond.json",
    "beyond.safetensors",
)
MEMBERS: Final = (RUN, EVENTS, *(FOLDER + name for name in FOLDER_FILES))

MOST_TEXT: Final = 200_000_000
"""Bytes of run.json or events.jsonl, which are read into memory."""

_BLOCK: Final = 2**20
_FINGERPRINT: Final = re.compile(r"[\w-]{0,80}", re.ASCII)
_LARGEST: Final = 10**15
"""A number beyond this is none that a run has."""
_LATEST: Final = 253_402_300_800.0
"""The year 10,000, in seconds since 1970: no time of a run is later."""
_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "id": str,
    "name": str,
    "state": str,
    "dataset_name": str,
    "fingerprint": str,
    "config_key": str,
    "model": dict,
    "train": dict,
    "pinned": list,
    "owner_name": str,
    "created": (int, float),
    "started": (int, float, types.NoneType),
    "finished": (int, float, types.NoneType),
    "message": str,
    "result": (dict, types.NoneType),
    "epoch": (int, float),
    "auc": (int, float, types.NoneType),
    "notes": str,
    "tags": list,
    "attempt": int,
    "versions": (dict, types.NoneType),
    "seconds": (int, float, types.NoneType),
    "examples_per_second": (int, float, types.NoneType),
}
"""The entries of run.json beside its version, with their types."""


_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    RuntimeError,
)
"""What zipfile raises over bytes that are no zip; a place before the file's start is an OSError."""


@dataclass(frozen=True)
class ImportedRun:
    """A run as a file from elsewhere tells of it: checked, and not yet in any store."""

    id: str
    name: str
    state: RunState
    values: Mapping[str, Any]
    events: tuple[Event, ...]
    bytes: int


def write_run(file: Path, run: RunRow, events: Sequence[tuple[int, Event]]) -> None:
    """Write a run into one file, aside and renamed, so that a half one is never there.

    RunError where the run goes on, or the file cannot be written.
    """
    if not run.ended:
        raise RunError(f"Run {run.name!r} is {run.state}; only one that has ended is exported.")
    values = {"version": VERSION, **{name: _jsonable(getattr(run, name)) for name in _TYPES}}
    values["owner_name"] = run.author  # whoever brought it here did not train it
    aside = file.with_name(f".{file.name}.part")
    try:
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(RUN, json.dumps(values, ensure_ascii=False, indent=1))
            archive.writestr(EVENTS, "".join(f"{to_json(event)}\n" for _, event in events))
            for name in FOLDER_FILES:
                if (run.folder / name).is_file():
                    archive.write(run.folder / name, FOLDER + name)
        aside.replace(file)
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror}.") from error
    finally:
        aside.unlink(missing_ok=True)


def read_run(file: Path, most_bytes: int) -> ImportedRun:
    """What a file says of its run, everything in it checked; nothing is written.

    most_bytes   of all members together, unpacked: LimitError beyond
    RunError where the file is no exported run, damaged, or holds anything else.
    """
    with _open(file) as archive:
        members = _checked_members(archive, file, most_bytes)
        values = _checked_values(file, _read_text(archive, file, RUN))
        events = _checked_events(file, _read_text(archive, file, EVENTS))
        size = sum(member.file_size for member in members)
    return ImportedRun(values["id"], values["name"], values["state"], values, events, size)


def unpack_folder(file: Path, folder: Path, most_bytes: int) -> None:
    """Write the run folder's files into a new folder; the same errors as `read_run`."""
    with _open(file) as archive:
        members = _checked_members(archive, file, most_bytes)
        for member in members:
            if member.filename.startswith(FOLDER):
                with (folder / member.filename.removeprefix(FOLDER)).open("xb") as target:
                    for block in _blocks(archive, file, member):
                        target.write(block)


# --- the zip --------------------------------------------------------------------------------


def _open(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except FileNotFoundError as error:
        raise RunError(f"There is no file {file}.") from error
    except _DAMAGE as error:
        raise RunError(
            f"{file.name} is no exported run: it is not a zip file, or a damaged one. "
            "Export the run again."
        ) from error


def _checked_members(
    archive: zipfile.ZipFile, file: Path, most_bytes: int
) -> Sequence[zipfile.ZipInfo]:
    members = archive.infolist()
    names = [member.filename for member in members]
    for member in members:
        if member.orig_filename not in MEMBERS or member.filename not in MEMBERS:
            raise RunError(
                f"{file.name} holds {member.orig_filename[:80]!r}, which an exported run does "
                "not have. It was not unpacked."
            )
        if names.count(member.filename) > 1:
            raise RunError(f"{file.name} holds {member.filename} twice. It was not unpacked.")
        if not _is_plain(member):
            raise RunError(
                f"{member.filename} in {file.name} is a link, a folder, encrypted or packed in an "
                "unknown way, not a plain file. It was not unpacked."
            )
    if missing := [name for name in (RUN, EVENTS) if name not in names]:
        raise RunError(f"{file.name} is no exported run: it lacks {missing[0]}.")
    total = sum(member.file_size for member in members)
    if total > most_bytes:
        raise LimitError(
            f"{file.name} would be {format_bytes(total)} once unpacked, and this server unpacks "
            f"{format_bytes(most_bytes)} (DEEPFM_MAX_UNPACKED_MB)."
        )
    return members


def _is_plain(member: zipfile.ZipInfo) -> bool:
    """Whether it is a regular file that can be read without a password."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    encrypted = member.flag_bits & 0x1
    packed = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    return (
        kind in (0, stat.S_IFREG)
        and not member.is_dir()
        and not encrypted
        and member.compress_type in packed
    )


def _blocks(archive: zipfile.ZipFile, file: Path, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """A member's bytes, at most as many as it says; RunError where they are damaged."""
    left = member.file_size
    try:
        with archive.open(member) as source:
            while block := source.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise zipfile.BadZipFile("longer than it says")
                yield block
    except _DAMAGE as error:
        raise _damaged(file, member.filename, str(error)) from error
    if left:
        raise _damaged(file, member.filename, "shorter than it says")


def _read_text(archive: zipfile.ZipFile, file: Path, name: str) -> str:
    member = archive.getinfo(name)
    if member.file_size > MOST_TEXT:
        raise LimitError(
            f"{name} in {file.name} is {format_bytes(member.file_size)}, more than the "
            f"{format_bytes(MOST_TEXT)} that are read."
        )
    try:
        return b"".join(_blocks(archive, file, member)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(file, name, "it is not text") from error


def _damaged(file: Path, name: str, cause: str) -> RunError:
    return RunError(
        f"{name} in {file.name} is damaged: {cause.rstrip('. ')[:200]}. Export the run again."
    )


# --- what the texts say ---------------------------------------------------------------------


def _checked_values(file: Path, text: str) -> dict[str, Any]:
    """run.json: every entry there and of its type, states and settings known."""
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
        if not isinstance(values, dict):
            raise ValueError("it does not hold an object")
        version = values.pop("version", None)
        if version != VERSION:
            raise ValueError(f"its version is {version!r}; this program reads {VERSION}")
        if different := sorted(values.keys() ^ _TYPES.keys()):
            raise ValueError(f"{different[0][:80]!r} is missing or unknown")
        for name, kind in _TYPES.items():
            if not _is_of(values[name], kind):
                raise ValueError(f"{name} is {str(values[name])[:80]!r}")
        _check_meaning(values)
        _check_text(values)
    except (ValueError, RecursionError, ConfigError, StoreError) as error:
        raise _damaged(file, RUN, str(error)) from error
    return values


def _check_meaning(values: Mapping[str, Any]) -> None:
    """ValueError, ConfigError or StoreError for values that no run can have."""
    if values["state"] not in RUN_ENDS:
        raise ValueError(f"its state is {values['state'][:80]!r}")
    check_id(values["id"])
    if not _FINGERPRINT.fullmatch(values["fingerprint"]):
        raise ValueError(f"its fingerprint is {values['fingerprint'][:80]!r}")
    ModelConfig.from_dict(values["model"])
    TrainConfig.from_dict(values["train"])
    if not all(isinstance(tag, str) and tag for tag in values["tags"]):
        raise ValueError("a tag is no text")
    check_name(values["name"])
    check_note(values["notes"])
    check_tags(values["tags"])
    for name in ("created", "started", "finished"):
        if not 0 <= (values[name] or 0) < _LATEST:
            raise ValueError(f"{name} is {values[name]!r}")
    for impression in values["pinned"]:
        if not isinstance(impression, dict) or not all(
            isinstance(value, str | None) for value in impression.values()
        ):
            raise ValueError("a pinned impression is no {field: value}")
    known = typing.get_type_hints(Finished)
    for name, value in (values["result"] or {}).items():
        if name not in known or not _fits(value, known[name]):
            raise ValueError(f"its result has {name[:80]!r}: {str(value)[:80]!r}")


def _is_of(value: Any, kind: type | tuple[type, ...]) -> bool:
    """Whether a value of JSON is of a type; yes and no are no numbers, nor are those too large."""
    if isinstance(value, bool) or not isinstance(value, kind):
        return False
    return not isinstance(value, int | float) or abs(value) <= _LARGEST


def _check_text(values: Any) -> None:
    """ValueError for text that cannot be written down: half a character."""
    json.dumps(values, ensure_ascii=False).encode("utf-8")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}")


def _checked_events(file: Path, text: str) -> tuple[Event, ...]:
    events = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            event = from_json(line)
            if not _fits(event, type(event)):
                raise DataError("a value of the wrong type")
            _check_text(dataclasses.asdict(event))
        except (DataError, ValueError, RecursionError) as error:
            raise _damaged(file, f"line {number} of {EVENTS}", str(error)) from error
        events.append(event)
    return tuple(events)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of an annotated type, through dataclasses, unions and tuples."""
    if dataclasses.is_dataclass(kind):
        return isinstance(value, typing.cast(type, kind)) and all(
            _fits(getattr(value, name), hint) for name, hint in typing.get_type_hints(kind).items()
        )
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return any(_fits(value, each) for each in inner)
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return isinstance(value, tuple) and all(_fits(each, inner[0]) for each in value)
    if origin is tuple:
        return (
            isinstance(value, tuple) and len(value) == len(inner) and all(map(_fits, value, inner))
        )
    if kind is float:
        return _is_of(value, (int, float)) or (isinstance(value, float) and math.isnan(value))
    if kind is int:
        return _is_of(value, int)
    return isinstance(value, kind)


def _jsonable(value: Any) -> Any:
    """Tuples as lists; a number that JSON does not have as none."""
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""Click files to a dataset folder: checked, encoded aside, renamed into place."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from deepfm.config import PrepareConfig, Settings
from deepfm.data.dataset.folder import VERSION, Dataset, open_dataset
from deepfm.data.dataset.recording import Recording, Source
from deepfm.data.dataset.writing import write_dataset
from deepfm.data.reader import RowReader, check_same_columns, open_agreed, open_rows
from deepfm.data.reporting import OnEvent, Reporter, ShouldStop
from deepfm.data.schema import Inspection, Schema, inspect
from deepfm.data.schema.labels import doubt_of
from deepfm.data.side_by_side import in_order
from deepfm.errors import ConfigError, DataError, SchemaError
from deepfm.locks import FileLock, is_held

_ASIDE: Final = ".making-"
_LOCK: Final = "lock"
_HASH_BLOCK: Final = 4 << 20
COUNT_AND_WRITE: Final = 2
"""Stages after the files were read."""


def prepare(
    train: str | Path,
    test: str | Path | None = None,
    *,
    validation_file: str | Path | None = None,
    config: PrepareConfig | None = None,
    schema: Schema | None = None,
    out: str | Path | None = None,
    name: str | None = None,
    label: str | None = None,
    positive: str | Sequence[str] | None = None,
    left_out: str | Sequence[str] | None = None,
    on_event: OnEvent | None = None,
    cancelled: ShouldStop | None = None,
    settings: Settings | None = None,
    **prepare_settings: Any,
) -> Dataset:
    """Raw click files to an encoded dataset.

    train, test        files in any format that `inspect` knows; without a test file the part
                       "test" is config.test_share of the train file's rows, absent where that is 0
    validation_file    rows for the part "validation"; without it config.validation of the train
                       file's rows are held out, chosen as config.split says
    config             settings of prepare; single ones may be given by keyword: min_count=1
    schema             columns and roles as a person agreed to them; by default as guessed
    out                the dataset folder; by default <home>/datasets/<fingerprint>
    name               what a person calls it; by default the train file's name
    label, positive    the label column, and the value or values that mean a click, where the
                       guess should not decide; every other value of it means no click
    left_out           the value or values of the label whose rows are skipped
    on_event           receives Progress (at most ten a second) and Notice
    cancelled          asked often; once true, Cancelled is raised and nothing is left behind

    The same content, settings and schema give the same fingerprint, and a folder that is there
    and sound is opened instead of made again. The text is read once; memory grows with the
    number of different values, not of rows. Raises DataError and SchemaError for files that
    cannot be used, ConfigError for settings, LimitError past a limit of this server.
    """
    config = (config or PrepareConfig()).with_values(**prepare_settings)
    settings = settings or Settings.from_environment()
    reporter = Reporter(on_event, cancelled)
    files = {"train": train, "validation": validation_file, "test": test}
    paths = {part: Path(path) for part, path in files.items() if path is not None}
    reporter.plan(2 * len(paths) + COUNT_AND_WRITE)
    said = Said(label, _texts(positive), _texts(left_out))
    schema = _choose_schema(paths["train"], schema, said, settings)
    doubt = "" if said.label else doubt_of(schema.label)
    if doubt:
        reporter.notice("data", doubt)
    _check_split(schema, config, paths)
    fingerprint = _fingerprint(paths, config, schema, reporter)
    recipe = Recipe(name or paths["train"].name, fingerprint, schema, config, settings)
    folder = Path(out) if out else dataset_folder(settings.home_folder, fingerprint)
    return make_once(folder, recipe, lambda: _file_sources(paths, recipe, reporter), reporter)


@dataclass(frozen=True)
class Recipe:
    """What a dataset is to be made with, beside its rows."""

    name: str
    fingerprint: str
    schema: Schema
    config: PrepareConfig
    settings: Settings


def dataset_folder(home: Path, fingerprint: str) -> Path:
    """Where a dataset lies when no other place was asked for."""
    return home / "datasets" / fingerprint


def make_once(
    folder: Path,
    recipe: Recipe,
    sources: Callable[[], AbstractContextManager[Sequence[Source]]],
    reporter: Reporter,
) -> Dataset:
    """The dataset in this folder: opened if it is there and sound, else made and put there.

    sources   opens the rows, the train source first; called only when they are needed
    DataError where the folder holds something else. Two processes may make the same at once:
    the first to finish wins, and both return its dataset.
    """
    known = _open_same(folder, recipe.fingerprint)
    if known is not None:
        return known
    try:
        recording = _make(folder, recipe, sources, reporter)
    except OSError as error:
        raise DataError(
            f"The dataset could not be written to {folder} ({error.strerror or error}). Make "
            "room there, or choose another folder."
        ) from error
    for text in recording.notices:
        reporter.notice("data", text)
    return open_dataset(folder)


def _make(
    folder: Path,
    recipe: Recipe,
    sources: Callable[[], AbstractContextManager[Sequence[Source]]],
    reporter: Reporter,
) -> Recording:
    """Make the dataset aside and rename it into place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(folder.parent)
    with _folder_aside(folder.parent) as aside, tempfile.TemporaryDirectory(dir=aside) as scratch:
        made = aside / "dataset"
        made.mkdir()
        with sources() as opened:
            reporter.plan(len(opened) + COUNT_AND_WRITE)
            recording = _record(Path(scratch), opened, recipe, reporter)
        write_dataset(
            made,
            recording,
            name=recipe.name,
            fingerprint=recipe.fingerprint,
            config=recipe.config,
            reporter=reporter,
        )
        _put_in_place(made, folder, recipe.fingerprint)
    return recording


def _record(
    scratch: Path, sources: Sequence[Source], recipe: Recipe, reporter: Reporter
) -> Recording:
    kind, _, column = recipe.config.split.partition(":")
    group = column if kind == "group" else None
    with Recording(scratch, recipe.schema, group=group, settings=recipe.settings) as recording:
        for source in sources:
            recording.add(source, reporter)
    return recording


@contextmanager
def _file_sources(
    paths: dict[str, Path], recipe: Recipe, reporter: Reporter
) -> Iterator[list[Source]]:
    config = recipe.config
    split = ("validation" not in paths and config.validation > 0) or config.test_share > 0
    with ExitStack() as opened:
        readers = {
            part: opened.enter_context(
                (open_rows if part == "train" else open_agreed)(
                    path, recipe.schema, settings=recipe.settings
                )
            )
            for part, path in paths.items()
        }
        for reader in readers.values():
            check_same_columns(recipe.schema, reader)
        yield [
            Source(
                paths[part].name,
                None if part == "train" and split else part,
                _with_all_columns(reader, recipe.schema),
                reader.lines,
                reader.row_word,
                reader.skipped,
                partial(_position, reader),
            )
            for part, reader in readers.items()
        ]
        for reader in readers.values():
            for remark in reader.remarks:
                reporter.notice("data", remark)


def _with_all_columns(reader: RowReader, schema: Schema) -> Iterator[pa.RecordBatch]:
    """The reader's batches; a column that the model does not see may be lacking, and is empty."""
    lacking = [name for name in schema.names if name not in reader.column_names]
    for batch in reader.batches():
        for name in lacking:
            batch = batch.append_column(name, pa.nulls(batch.num_rows, pa.string()))
        yield batch


def _position(reader: RowReader) -> tuple[int, int]:
    return reader.bytes_done, reader.bytes_total


@dataclass(frozen=True)
class Said:
    """What a person says of the label: its column, and what some of its values mean."""

    label: str | None
    positive: tuple[str, ...]
    left_out: tuple[str, ...]


def _texts(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _choose_schema(train: Path, schema: Schema | None, said: Said, settings: Settings) -> Schema:
    """The schema given or guessed, with the person's label; SchemaError if it cannot be used."""
    if schema is None or said.label or said.positive or said.left_out:
        inspection = inspect(train, settings=settings, schema=schema)
        schema = _with_label(inspection, said, train, settings)
    if not schema.fields:
        raise SchemaError(
            f"{train.name}: no column is left as a field. Give at least one column the role "
            "categorical or numeric."
        )
    if schema.positive and not schema.negative:
        raise SchemaError(
            f"{train.name}: the label column {schema.label.name!r} holds {schema.positive[0]!r} "
            "alone in the rows looked at; a model needs clicked and unclicked rows. Should an "
            "empty cell mean no click, write 0 there first."
        )
    if not (schema.positive and schema.negative):
        raise SchemaError(
            f"{train.name}: it is not known which values of the label column "
            f"{schema.label.name!r} mean a click. Say which (--positive VALUE)."
        )
    return schema


def _with_label(inspection: Inspection, said: Said, train: Path, settings: Settings) -> Schema:
    schema = inspection.schema
    if said.label and said.label not in [column.name for column in schema.with_roles("label")]:
        chosen = schema.with_label(said.label)
        inspection = inspect(train, settings=settings, schema=chosen)
        schema = inspection.schema
    if not (said.positive or said.left_out):
        return schema
    left_out = {*schema.left_out, *said.left_out} - {*said.positive}
    clicked = said.positive or tuple(text for text in schema.positive if text not in left_out)
    others = inspection.label_values if said.positive else schema.negative
    return schema.with_label(
        schema.label.name,
        positive=clicked,
        negative=tuple(text for text in others if text not in {*clicked, *left_out}),
        left_out=tuple(sorted(left_out)),
    )


def _check_split(schema: Schema, config: PrepareConfig, parts: Collection[str]) -> None:
    """SchemaError where the column that should split the rows cannot; ConfigError for two tests."""
    if config.test_share and "test" in parts:
        raise ConfigError(
            "There is a test file, so no rows of the train file are held out for the test part. "
            "Leave out the test file, or set test share to 0."
        )
    _, _, column = config.split.partition(":")
    if column and schema.column(column).role == "label":
        raise SchemaError(f"The label {column!r} cannot split the rows. Choose another column.")


def _fingerprint(
    paths: dict[str, Path], config: PrepareConfig, schema: Schema, reporter: Reporter
) -> str:
    content = {part: _content_hash(path, reporter) for part, path in paths.items()}
    return fingerprint_of(content, config, schema)


def fingerprint_of(content: dict[str, str], config: PrepareConfig, schema: Schema) -> str:
    """20 hex digits that name files by their content, settings and schema (not its reasons)."""
    columns = [[column.name, column.role] for column in schema.columns]
    chosen = config.to_dict()
    if not config.test_share:  # what was prepared before there was this setting keeps its name
        del chosen["test_share"]
    meaning = [VERSION, content, chosen, {**schema.to_dict(), "columns": columns}]
    text = json.dumps(meaning, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def _content_hash(path: Path, reporter: Reporter) -> str:
    """The hash of the hashes of the file's blocks, which several cores make at once."""
    digest = hashlib.blake2b(digest_size=20)
    try:
        total = path.stat().st_size
        starts = range(0, total, _HASH_BLOCK)
        for number, block in enumerate(in_order(partial(_block_hash, path), starts), 1):
            digest.update(block)
            done = min(number * _HASH_BLOCK, total)
            reporter.step(f"Checking {path.name}", done, total, "bytes")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def _block_hash(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return hashlib.blake2b(file.read(_HASH_BLOCK), digest_size=32).digest()


def _open_same(folder: Path, fingerprint: str) -> Dataset | None:
    """The dataset that is there already, or None where the place is free or can be taken.

    A damaged one is made again; DataError where the folder holds anything else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        dataset = open_dataset(folder)
    except DataError:
        if folder.name == fingerprint:
            return None
        raise DataError(
            f"{folder} is not empty and holds no sound dataset. Choose another folder, or delete "
            "it first."
        ) from None
    if dataset.fingerprint != fingerprint:
        raise DataError(
            f"{folder} holds another dataset, {dataset.name!r}. Datasets are never changed: "
            "choose another folder, or delete it first."
        )
    return dataset


def _put_in_place(made: Path, folder: Path, fingerprint: str) -> None:
    """Rename the finished folder into place, unless another process was faster."""
    for _ in range(2):
        try:
            made.rename(folder)
            return
        except OSError:
            if _open_same(folder, fingerprint) is not None:
                return
            folder.rename(made.parent / "damaged")
    made.rename(folder)


@contextmanager
def _folder_aside(parent: Path) -> Iterator[Path]:
    """A folder to work in, beside the final one, locked while its maker lives; removed after."""
    aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=parent))
    try:
        with FileLock(aside / _LOCK).held(seconds=1.0):
            yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _remove_stale(parent: Path) -> None:
    """Remove what processes that were killed left behind: folders whose lock is free.

    One with nothing but its lock is left alone: its maker may be about to take it. What is in it
    is therefore looked at before the lock is.
    """
    for aside in parent.glob(f"{_ASIDE}*"):
        filled = any(path.name != _LOCK for path in aside.glob("*"))
        if filled and not is_held(aside / _LOCK):
            shutil.rmtree(aside, ignore_errors=True)

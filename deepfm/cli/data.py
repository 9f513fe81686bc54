"""Verbs of data: what a file holds, and a file to a dataset folder."""

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepfm.cli.flags import given_settings, prepare_config
from deepfm.config import PRESETS, PrepareConfig
from deepfm.errors import ConfigError
from deepfm.progress import ProgressLine

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset
    from deepfm.data.schema import Schema
    from deepfm.runs.store import Store
    from deepfm.sweeps import DataSource


def inspect_verb(given: argparse.Namespace) -> dict[str, Any]:
    """What was understood of a file: format, columns, roles, reasons."""
    from deepfm.data.schema import inspect

    path = Path(given.file)
    found = inspect(path)
    told = {
        **({"separator": _separator(given.separator)} if given.separator is not None else {}),
        **({"encoding": given.encoding} if given.encoding is not None else {}),
    }
    if told:
        format = replace(found.schema.format, **told)
        found = inspect(path, schema=replace(found.schema, format=format))
    return found.to_dict()


def _separator(text: str) -> str:
    """A separator by its sign or its word; ConfigError lists the words."""
    from deepfm.data.schema import SEPARATORS

    signs = {
        **{sign: sign for sign in SEPARATORS},
        **{SEPARATORS[sign]: sign for sign in SEPARATORS},
    }
    if text not in signs:
        raise ConfigError(
            f"The separator is {text!r}; give one of {', '.join(SEPARATORS.values())}, or the sign."
        )
    return signs[text]


def prepare_verb(given: argparse.Namespace) -> dict[str, Any]:
    """A raw file to a dataset folder."""
    dataset = prepare_file(given, Path(given.file), Path(given.out))
    schema = dataset.schema
    return {
        "dataset": str(dataset.folder),
        **dataset.summary().to_dict(),
        "label": schema.label.name,
        "positive": list(schema.positive),
        "negative": list(schema.negative),
    }


def dataset_of(given: argparse.Namespace) -> "Dataset":
    """Open a dataset folder, or prepare a raw file into DEEPFM_HOME."""
    from deepfm.data.dataset import open_dataset

    path = Path(given.dataset)
    if not path.is_dir():
        return prepare_file(given, path, None)
    dataset = open_dataset(path)
    wanted = prepare_config(given)
    for name in _asked_of_prepare(given):
        have, want = dataset.prepare.to_dict()[name], wanted.to_dict()[name]
        if have != want:
            raise ConfigError(
                f"This dataset was prepared with {name} {have}, and you ask for {want}. "
                f"Train from the raw file instead, or leave out --{name.replace('_', '-')} "
                "and any preset that sets it."
            )
    return dataset


def _asked_of_prepare(given: argparse.Namespace) -> Iterable[str]:
    preset = PRESETS[given.preset].prepare if given.preset else {}
    return {*preset, *given_settings(given, PrepareConfig)}


def prepare_file(given: argparse.Namespace, path: Path, out: Path | None) -> "Dataset":
    """A raw file by the flags that were given, into `out` or, where None, into DEEPFM_HOME."""
    from deepfm.data.catalog import is_d2l_zip, prepare_d2l
    from deepfm.data.dataset import prepare

    with ProgressLine() as line:
        if is_d2l_zip(path):
            return prepare_d2l(path, out=out, config=prepare_config(given), on_event=line.show)
        return prepare(
            path,
            Path(given.test) if given.test else None,
            config=prepare_config(given),
            schema=_read_schema(Path(given.schema)) if given.schema else None,
            label=given.label,
            positive=given.positive,
            left_out=given.leave_out,
            out=out,
            on_event=line.show,
        )


def data_source(given: argparse.Namespace, dataset: "Dataset", store: "Store") -> "DataSource":
    """Where a dataset came from: the file that was given, else the job that prepared it."""
    from deepfm.data.catalog import is_d2l_zip
    from deepfm.sweeps import DataSource, source_of

    path = Path(given.dataset).resolve()
    if path.is_dir():
        return source_of(dataset, store.jobs(), store.home)
    place = (str(dataset.folder), dataset.name, dataset.fingerprint)
    if is_d2l_zip(path):
        return DataSource(*place, "d2l", {"archive": str(path)})
    test = {"test": str(Path(given.test).resolve())} if given.test else {}
    return DataSource(
        *place, "files", {"train": str(path), **test, "schema": dataset.schema.to_dict()}
    )


def _read_schema(path: Path) -> "Schema":
    """A schema, alone or in all that inspect prints."""
    from deepfm.data.schema import Schema

    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        whole = isinstance(values, dict) and "schema" in values
        return Schema.from_dict(values["schema"] if whole else values)
    except (OSError, ValueError) as error:
        raise ConfigError(f"The schema {path} cannot be read as JSON: {error}.") from error

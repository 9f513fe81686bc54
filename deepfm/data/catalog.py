"""Known sets to datasets: the bundled demo, and the D2L ctr set from its public hub or by hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from deepfm.config import PrepareConfig, Settings
from deepfm.data.dataset.folder import Dataset
from deepfm.data.dataset.making import Recipe, dataset_folder, fingerprint_of, make_once
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

__all__ = [
    "DEMO_NAME",
    "PINNED",
    "PinnedImpression",
    "demo_table",
    "open_demo",
    "true_probability",
    "write_demo",
]

DEMO_NAME: Final = "demo"
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
    on_event: OnEvent | None = None,
    cancelled: ShouldStop | None = None,
) -> Dataset:
    """The bundled demo: 60,000 impressions with their true click probability.

    home   folder of all state; by default that of the settings
    Made within two seconds at the first call, without network, and opened afterwards.
    """
    settings = Settings.from_environment()
    home = home or settings.home_folder
    config = PrepareConfig()
    fingerprint = fingerprint_of({"demo": str(DEMO_VERSION)}, config, _DEMO_SCHEMA)
    recipe = Recipe(DEMO_NAME, fingerprint, _DEMO_SCHEMA, config, settings)
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
        line_of=lambda row: row + 2,
        position=lambda: (size, size),
        truth=table["truth"].to_numpy().astype(np.float32),
    )

"""Click data of Criteo Kaggle's shape, at any size: python -m benchmarks.criteo."""

from benchmarks.criteo.encoding import Encoder, write_encoded
from benchmarks.criteo.rows import (
    BLOCK_ROWS,
    FIELDS,
    FULL_ROWS,
    MIN_COUNT,
    SCHEMA,
    VERSION,
    Block,
    CriteoField,
    blocks,
    draw_block,
    text_table,
    write_text,
)

__all__ = [
    "BLOCK_ROWS",
    "FIELDS",
    "FULL_ROWS",
    "MIN_COUNT",
    "SCHEMA",
    "VERSION",
    "Block",
    "CriteoField",
    "Encoder",
    "blocks",
    "draw_block",
    "text_table",
    "write_encoded",
    "write_text",
]

"""Figures to one Markdown table under a title that names the machine, and one line of JSON."""

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NONE = "–"
"""Stands where a figure was not measured."""


def machine() -> str:
    """The processor by name, and how many threads this process may use."""
    return f"{_processor()}, {len(os.sched_getaffinity(0))} threads"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def title(what: str, device: str) -> str:
    """The line above a table: what was measured, on which device, when."""
    return f"{what}, {time.strftime('%Y-%m-%d')}, {device}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column holds names, the others figures."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def thousands(rate: float | None) -> str:
    """A rate a second in thousands: 36.4, 742, 1,204."""
    if rate is None:
        return NONE
    return f"{rate / 1000:,.1f}" if rate < 100_000 else f"{rate / 1000:,.0f}"


def times(ratio: float | None) -> str:
    """A ratio: 20.4 ×."""
    return NONE if ratio is None else f"{ratio:,.1f} ×"


def ratio_of(above: float | None, below: float | None) -> float | None:
    """A quotient, or None where a figure is missing."""
    return above / below if above is not None and below else None


def print_json(benchmark: str, device: str, figures: Mapping[str, Any]) -> None:
    """Everything behind the table as one line."""
    date = time.strftime("%Y-%m-%d")
    print(json.dumps({"benchmark": benchmark, "date": date, "device": device, **figures}))

"""Numbers to the words that every page, chart and sentence shows them in."""

import math
from typing import Final

_MINUS: Final = "−"
_SPACE: Final = " "
NO_VALUE: Final = "–"


def format_probability(probability: float | None, digits: int = 1) -> str:
    """0.132 is "13.2 %", 0.0024 is "0.24 %"; what would round to 0 or 100 is "<0.01 %", ">99.9 %".

    Below one percent, with digits at all, there is one more: click rates are often small.
    """
    if probability is None or math.isnan(probability):
        return NO_VALUE
    percent = 100.0 * probability
    if digits and 0.0 < percent < 0.995:
        digits += 1
    step = 10.0**-digits
    if 0.0 < percent < step / 2:
        return f"<{step:.{digits}f}{_SPACE}%"
    if 100.0 - step / 2 <= percent < 100.0:
        return f">{100.0 - step:.{digits}f}{_SPACE}%"
    return f"{percent:.{digits}f}{_SPACE}%"


def format_logit(logit: float | None, digits: int = 2) -> str:
    """1.27 is "+1.27", -0.5 is "−0.50", and what rounds to zero has no sign."""
    if logit is None or math.isnan(logit):
        return NO_VALUE
    text = f"{abs(logit):.{digits}f}"
    if float(text) == 0.0:
        return text
    return (_MINUS if logit < 0 else "+") + text


def decimals_of(largest: float, significant: int = 3) -> int:
    """So many digits after the point that the largest of some numbers shows three that count.

    2 at 1.27, 4 at 0.0823; at most 9.
    """
    if not 0 < largest < math.inf:
        return significant - 1
    return min(9, max(0, significant - 1 - math.floor(math.log10(largest))))


def format_auc(auc: float | None) -> str:
    """0.9842 with four digits; "–" where rows of one class have none."""
    return NO_VALUE if auc is None or math.isnan(auc) else f"{auc:.4f}"


def format_loss(loss: float | None) -> str:
    """0.4471 with four digits; "–" where there is none."""
    return format_auc(loss)


def format_count(count: float | None) -> str:
    """15000 is "15,000"."""
    return NO_VALUE if count is None or math.isnan(count) else f"{count:,.0f}"


def format_rate(per_second: float | None) -> str:
    """260000 is "260 k/s"."""
    if per_second is None or math.isnan(per_second):
        return NO_VALUE
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if per_second >= size:
            digits = 1 if per_second < 10 * size else 0
            return f"{per_second / size:.{digits}f}{_SPACE}{unit}/s"
    return f"{per_second:.0f}{_SPACE}/s"


def format_bytes(size: float) -> str:
    """52,000,000 is "52 MB"."""
    for power, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= power:
            digits = 1 if size < 10 * power else 0
            return f"{size / power:.{digits}f}{_SPACE}{unit}"
    return f"{size:.0f}{_SPACE}bytes"


def format_duration(seconds: float) -> str:
    """0.4 is "0.4 s", 75 is "1 min 15 s", 7300 is "2 h 2 min"."""
    if seconds < 10:
        return f"{seconds:.1f}{_SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{_SPACE}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{_SPACE}min {rest}{_SPACE}s" if rest else f"{minutes}{_SPACE}min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{_SPACE}h {minutes}{_SPACE}min" if minutes else f"{hours}{_SPACE}h"


def format_time_left(seconds: float) -> str:
    """As a duration, as far as a guess is sure of it.

    From ten minutes on without its seconds, from ten hours on without its minutes.
    """
    step = 1 if seconds < 600 else 60 if seconds < 36_000 else 3_600
    return format_duration(seconds if step == 1 else step * round(seconds / step))


def format_epoch(position: float) -> str:
    """52.71 is "52.7", 2.0 is "2"."""
    return f"{position:.1f}".removesuffix(".0")

"""Places and words to a small SVG whose colours are those of the page it stands in.

A drawing that is read across is made twice, for a page and for a phone, and CSS shows one of them:
text of a wide drawing would be half as high as a letter should be on a phone.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from deepfm.report.document import escaped

WIDE: Final = 720
NARROW: Final = 360
_TICK_PX: Final = 60
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Scale:
    """Numbers from `low` to `high` to pixels from `start` to `end`.

    whole  there is nothing between two whole numbers to name
    """

    low: float
    high: float
    start: float
    end: float
    whole: bool = False

    @classmethod
    def with_room(cls, low: float, high: float, start: float, end: float, room: float) -> "Scale":
        """A scale that leaves `room` pixels free beyond its numbers at both ends."""
        unit = ((high - low) or 1.0) / (end - start - 2 * room)
        return cls(low - room * unit, high + room * unit, start, end)

    def at(self, value: float) -> float:
        """Where a number lies, in pixels."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers within the scale: about five, fewer where there is little room."""
        about = max(3, min(5, round(abs(self.end - self.start) / _TICK_PX)))
        rough = (self.high - self.low) / about or 1.0
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(size for size in (1, 2, 2.5, 5, 10) if size * power >= rough * 0.999)
        step = max(step, 1.0) if self.whole else step
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


@dataclass
class Drawing:
    """Shapes in the order in which they were drawn."""

    height: float
    width: float = WIDE
    shapes: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line of a CSS class."""
        self.shapes.append(
            f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
        )

    def bar(self, x1: float, x2: float, y: float, height: float, kind: str) -> None:
        """A bar from x1 to x2, in either order."""
        left, width = min(x1, x2), abs(x2 - x1)
        self.shapes.append(
            f'<rect class="{kind}" x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}"/>'
        )

    def curve(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        """A line through points; those that fall on the last one are left out."""
        places: list[str] = []
        for x, y in points:
            place = f"{x:.1f},{y:.1f}"
            if not places or places[-1] != place:
                places.append(place)
        self.shapes.append(f'<polyline class="line {kind}" points="{" ".join(places)}"/>')

    def dot(self, x: float, y: float, kind: str = "f-text", size: float = 4.5) -> None:
        """A filled circle."""
        self.shapes.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{size}"/>')

    def words(
        self, x: float, y: float, words: str, anchor: Anchor = "start", kind: str = ""
    ) -> None:
        """Plain text whose middle is at the height y."""
        self.shapes.append(
            f'<text class="{kind}" x="{x:.1f}" y="{y + 4.5:.1f}" text-anchor="{anchor}">'
            f"{escaped(words)}</text>"
        )

    def across(
        self, scale: Scale, top: float, bottom: float, name: str, texts: Sequence[str]
    ) -> None:
        """Upright grid lines at the scale's ticks, their texts below, and what they measure."""
        for tick, text in zip(scale.ticks(), texts, strict=True):
            self.line(scale.at(tick), top, scale.at(tick), bottom, "grid")
            self.words(scale.at(tick), bottom + 14, text, "middle", "m")
        self.words((scale.start + scale.end) / 2, bottom + 34, name, "middle", "m")

    def up(self, scale: Scale, left: float, right: float, name: str, texts: Sequence[str]) -> None:
        """Level grid lines at the scale's ticks, texts at the left, what they measure above."""
        for tick, text in zip(scale.ticks(), texts, strict=True):
            self.line(left, scale.at(tick), right, scale.at(tick), "grid")
            self.words(left - 8, scale.at(tick), text, "end", "m")
        self.words(left, min(scale.start, scale.end) - 16, name, "start", "m")

    def svg(self, finding: str, kind: str = "square") -> str:
        """The drawing, with what it shows in words for those who cannot see it."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height:.0f}" class="{kind}" role="img" '
            f'aria-label="{escaped(finding)}">{"".join(self.shapes)}</svg>'
        )


def wide_and_narrow(draw: Callable[[float], Drawing], finding: str) -> str:
    """The drawing of each width; the page shows the one that fits."""
    return draw(WIDE).svg(finding, "wide") + draw(NARROW).svg(finding, "narrow")


def isolated(words: str) -> str:
    """Words whose direction, left to right or right to left, stays their own."""
    return f"\u2068{words}\u2069"

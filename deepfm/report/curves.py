"""A run's curves and intervals to drawings: ROC, calibration, branches, training."""

from collections.abc import Mapping, Sequence
from typing import Final

from deepfm.charts.history import History
from deepfm.evaluation import CalibrationTable, RocCurve
from deepfm.evaluation.branches import JudgedBranch
from deepfm.events import Epoch
from deepfm.formats import format_auc, format_count, format_loss, format_probability
from deepfm.report.document import chart, table
from deepfm.report.drawing import NARROW, WIDE, Drawing, Scale, wide_and_narrow

Curve = tuple[str, str, Sequence[float], Sequence[float]]
"""Name, CSS class, places and heights of a line."""

BRANCHES: Final[Mapping[str, str]] = {
    "linear": "linear alone",
    "pairwise": "pairwise alone",
    "fm": "FM branch alone",
    "deep": "deep branch alone",
    "all": "all together",
}
_LEFT: Final = 48
"""Where an upright scale stands, right of its numbers."""
_SIDE: Final = 296
"""Pixels of a square plot's side."""
_TOP: Final = 24
_BELOW: Final = 60
"""Room for the numbers and the name of a level scale."""


def roc_chart(curves: Sequence[tuple[str, str, RocCurve, float | None]]) -> str:
    """Curves by (name, CSS class, curve, AUC), the whole model last."""
    drawing, x, y = _square(1, legend=len(curves) + 1)
    drawing.across(x, _TOP, y.start, "false positive rate: others taken for clicks", _percents(x))
    drawing.up(y, x.start, x.end, "true positive rate: clicked rows found", _percents(y))
    drawing.curve([(x.at(0), y.at(0)), (x.at(1), y.at(1))], "thin dash")
    for place, (name, kind, curve, auc) in enumerate(curves):
        points = zip(curve.fpr.tolist(), curve.tpr.tolist(), strict=True)
        drawing.curve([(x.at(a), y.at(b)) for a, b in points], kind)
        _legend(drawing, place, kind, f"{name} {format_auc(auc)}")
    _legend(drawing, len(curves), "thin dash", "guessing 0.5")
    name, _, _, auc = curves[-1]
    return chart(
        "Clicked rows found, against others taken for clicks (ROC)",
        drawing.svg(f"ROC curve of {name}: AUC {format_auc(auc)}; guessing would be 0.5."),
        "the more a curve bends to the top left, the better the model ranks. The number beside a "
        "name is its AUC. A branch alone holds the other at its average.",
    )


def calibration_chart(found: CalibrationTable) -> str:
    """Seen against predicted click rate with 95 % intervals, bin by bin."""
    end = 1.05 * float(max(found.predicted.max(), found.high.max()))
    drawing, x, y = _square(end, legend=2)
    drawing.across(x, _TOP, y.start, "predicted probability", _percents(x))
    drawing.up(y, x.start, x.end, "seen click rate", _percents(y))
    drawing.curve([(x.at(0), y.at(0)), (x.at(end), y.at(end))], "thin dash")
    bins = list(
        zip(
            *(values.tolist() for values in (found.predicted, found.seen, found.low, found.high)),
            found.rows.tolist(),
            strict=True,
        )
    )
    drawing.curve([(x.at(predicted), y.at(seen)) for predicted, seen, *_ in bins], "whole")
    for predicted, seen, low, high, _ in bins:
        drawing.line(x.at(predicted), y.at(low), x.at(predicted), y.at(high), "thin")
        drawing.dot(x.at(predicted), y.at(seen))
    _legend(drawing, 0, "whole", "the model")
    _legend(drawing, 1, "thin dash", "predicted = seen")
    rows = [
        (*(format_probability(value) for value in numbers), format_count(count))
        for *numbers, count in bins
    ]
    return chart(
        "Does a predicted 20 % mean 20 in 100? (calibration)",
        drawing.svg(
            f"Calibration: predicted and seen click rate are {format_probability(found.error, 2)} "
            "apart on average."
        ),
        "on the dashed line, as many were clicked as predicted; below it, fewer. Upright lines are "
        "95 % Wilson intervals.",
        table(("predicted", "seen", "low", "high", "rows"), rows, numbers=5),
    )


def branches_chart(judged: Mapping[str, JudgedBranch]) -> str:
    """AUC of each branch alone and of all together, with 95 % intervals."""
    known = {name: each for name, each in judged.items() if each.auc is not None}
    said = ", ".join(f"{BRANCHES[name]} {format_auc(each.auc)}" for name, each in known.items())
    return chart(
        "How well each branch ranks alone",
        wide_and_narrow(lambda width: _branches(known, width), f"AUC: {said}."),
        "each dot is the AUC with the other branches held at their average; the line through it is "
        "its 95 % interval (DeLong). A branch silenced is not a model trained without it.",
        branches_table(judged),
    )


def _branches(known: Mapping[str, JudgedBranch], width: float) -> Drawing:
    lows = [each.auc if each.auc_low is None else each.auc_low for each in known.values()]
    highs = [each.auc if each.auc_high is None else each.auc_high for each in known.values()]
    bottom = 20 + 34 * len(known)
    drawing = Drawing(bottom + 48, width)
    left, right = (180, width - 120) if width == WIDE else (124, width - 60)
    low, high = min(0.5, *(value or 0.5 for value in lows)), max(value or 0.5 for value in highs)
    room = 0.04 * (high - low) or 0.01
    x = Scale(low - room, high + room, left, right)
    drawing.across(x, 12, bottom, "AUC", [f"{tick:.3g}" for tick in x.ticks()])
    for place, (name, each) in enumerate(known.items()):
        y, auc = 30 + 34 * place, each.auc or 0.5
        drawing.words(left - 10, y, BRANCHES[name], "end", "b" if name == "all" else "")
        if each.auc_low is not None and each.auc_high is not None:
            drawing.line(x.at(each.auc_low), y, x.at(each.auc_high), y, "thin")
        drawing.dot(x.at(auc), y)
        drawing.words(right + 10, y, format_auc(auc), "start", "b" if name == "all" else "")
    return drawing


def branches_table(judged: Mapping[str, JudgedBranch]) -> str:
    """Every figure of every branch with its interval."""
    rows = [
        (
            BRANCHES[name],
            format_auc(each.auc),
            f"{format_auc(each.auc_low)} to {format_auc(each.auc_high)}",
            format_loss(each.log_loss),
            f"{format_loss(each.log_loss_low)} to {format_loss(each.log_loss_high)}",
        )
        for name, each in judged.items()
    ]
    return table(("", "AUC", "95 %", "log loss", "95 %"), rows, numbers=4)


def training_chart(history: History) -> str:
    """Loss by epoch, training and held-out rows; "" where no epoch was finished."""
    if not history.epochs:
        return ""
    part = history.judged_by
    lines = [("training", "thin", *history.curve("loss", "train"))]
    if part != "train":
        lines.append((part, "whole dash", *history.curve("loss", part)))
    kept = next((each.epoch for each in reversed(history.epochs) if each.best), None)
    last = history.epochs[-1].epoch
    names = [
        f"{part} {what}" for part in ("train", "validation", "test") for what in ("loss", "AUC")
    ]
    return chart(
        "Loss, epoch by epoch",
        wide_and_narrow(
            lambda width: _training(lines, last, kept, width),
            f"Log loss over {len(history.epochs)} epochs, ending at {lines[-1][3][-1]:.4f}.",
        ),
        "down is better. Training down while the held-out line turns up is memorising; the "
        "training line is a running mean, with dropout on where there is a network, so it can lie "
        "above the other.",
        table(("epoch", *names), map(_epoch_row, history.epochs), numbers=7),
    )


def _training(lines: Sequence[Curve], last_epoch: float, kept: int | None, width: float) -> Drawing:
    values = [value for *_, ys in lines for value in ys]
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.01
    bottom = 260
    drawing = Drawing(bottom + _BELOW + 22 * len(lines), width)
    x = Scale(0, max(last_epoch, 1), _LEFT, width - 12, whole=True)
    y = Scale(low - room, high + room, bottom, _TOP)
    drawing.across(x, _TOP, bottom, "epoch", [f"{tick:g}" for tick in x.ticks()])
    drawing.up(y, x.start, x.end, "log loss", [f"{tick:.4g}" for tick in y.ticks()])
    if kept is not None:
        early = x.at(kept) < (x.start + x.end) / 2
        drawing.line(x.at(kept), _TOP, x.at(kept), bottom, "thin dots")
        drawing.words(  # a loss falls from the left: the corners it leaves free
            x.at(kept) + (6 if early else -6),
            bottom - 12 if early else _TOP + 12,
            f"kept: epoch {kept}",
            "start" if early else "end",
            "m",
        )
    for place, (name, kind, xs, ys) in enumerate(lines):
        drawing.curve([(x.at(a), y.at(b)) for a, b in zip(xs, ys, strict=True)], kind)
        _legend(drawing, place, kind, name, bottom)
    return drawing


def _epoch_row(epoch: Epoch) -> tuple[str, ...]:
    row = [str(epoch.epoch)]
    for metrics in (epoch.train, epoch.validation, epoch.test):
        row.append(format_loss(metrics.loss if metrics else None))
        row.append(format_auc(metrics.auc if metrics else None))
    return tuple(row)


def _percents(scale: Scale) -> list[str]:
    return [f"{100 * tick:.3g} %" for tick in scale.ticks()]


def _square(end: float, legend: int) -> tuple[Drawing, Scale, Scale]:
    """A plot as high as wide from 0 to `end` on both scales, with lines of legend below."""
    bottom = _TOP + _SIDE
    drawing = Drawing(bottom + _BELOW + 22 * legend, NARROW)
    return drawing, Scale(0, end, _LEFT, _LEFT + _SIDE), Scale(0, end, bottom, _TOP)


def _legend(
    drawing: Drawing, place: int, kind: str, words: str, bottom: float = _TOP + _SIDE
) -> None:
    """A line of the legend under a plot."""
    y = bottom + _BELOW + 22 * place
    drawing.curve([(_LEFT, y), (_LEFT + 26, y)], kind)
    drawing.words(_LEFT + 34, y, words)

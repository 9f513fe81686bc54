"""A page of the list of runs to the lines of its table, in the words they are shown with."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from deepfm.charts.palette import format_auc, format_duration, format_loss
from deepfm.charts.training.comparison import MOST_RUNS, lamps
from deepfm.ui import feed, run_list
from deepfm.ui.compared import best_of_models
from deepfm.ui.group_figures import auc_of_sweep
from deepfm.ui.run_list import Wanted
from deepfm.ui.run_words import (
    auc_of,
    epochs_in_words,
    model_of_terms,
    part_of,
    result_of,
    settings_in_words,
    terms_of,
    when_in_words,
)
from deepfm.ui.sweep_view import results_of_sweep
from deepfm.ui.watching import STATE_WORDS

if TYPE_CHECKING:
    from deepfm.runs.store import Item, RunRow

Tick = bool | Literal["some"]
Kind = Literal["run", "group", "member"]

_PARTS: Final[Mapping[str, str]] = {"validation": "valid.", "train": "seen"}


@dataclass(frozen=True)
class Line:
    """One row of the table, in the words it is shown with.

    ticked   "some" for a group of which some runs are ticked
    origin   who brought it here, of a run that was imported
    mark     place among the ticked runs that are drawn, so its hue and mark; None for others
    scale    lowest and highest AUC among the shown curves of the same dataset
    """

    kind: Kind
    id: str
    name: str
    href: str = ""
    open: bool = False
    ticked: Tick = False
    mark: int | None = None
    tags: tuple[str, ...] = ()
    note: str = ""
    origin: str = ""
    state: str = ""
    state_words: str = ""
    lamps: str = ""
    model: str = ""
    auc: str = ""
    part: str = ""
    loss: str = ""
    curve: tuple[float, ...] = ()
    scale: tuple[float, float] = (0.0, 1.0)
    epoch: str = ""
    settings: str = ""
    dataset: str = ""
    person: str = ""
    seconds: str = ""
    created: str = ""

    @property
    def curve_words(self) -> str:
        """The curve for those who cannot see it."""
        if not self.curve:
            return ""
        return f"from {format_auc(self.curve[0])} to {format_auc(self.curve[-1])}"


def run_line(
    row: "RunRow",
    *,
    kind: Kind = "run",
    ticked: bool = False,
    mark: int | None = None,
    scale: tuple[float, float] = (0.0, 1.0),
) -> Line:
    """A run as a line of the table."""
    terms = terms_of(row)
    seconds = row.seconds
    if seconds is None and row.started is not None and row.finished is not None:
        seconds = row.finished - row.started
    return Line(
        kind,
        row.id,
        row.name,
        href=f"train?run={row.id}",
        ticked=ticked,
        mark=mark,
        tags=row.tags,
        note=row.notes,
        state=row.state,
        state_words="damaged" if row.damaged else STATE_WORDS[row.state],
        lamps=lamps(terms) if row.trainable else "",
        model=model_of_terms(terms) if row.trainable else "",
        auc=format_auc(auc_of(row)),
        part=_part_in_words(row),
        loss=format_loss(result_of(row).get("log_loss")),
        curve=row.curve,
        scale=scale,
        epoch=epochs_in_words(row),
        settings=settings_in_words(row) if row.trainable else "",
        dataset=row.dataset_name,
        person=row.author,
        origin=f"imported by {row.owner_name or 'somebody'}" if row.imported else "",
        seconds="" if seconds is None else format_duration(seconds),
        created=when_in_words(row.created),
    )


def _part_in_words(row: "RunRow") -> str:
    """ "test", "valid. so far"; of a run that ended without figures "last": its latest."""
    if auc_of(row) is None:
        return ""
    if not row.ended:
        validated: str = feed.history(row.id)[1].judged_by
        return f"{_PARTS.get(validated, validated)} so far"
    part = part_of(row)
    return _PARTS.get(part, part) if part else "last"


def scales(rows: Sequence["RunRow"]) -> dict[str, tuple[float, float]]:
    """Dataset to the lowest and highest AUC of its runs' curves, for their cells."""
    found: dict[str, tuple[float, float]] = {}
    for row in rows:
        if row.curve:
            low, high = found.get(row.fingerprint, (1.0, 0.0))
            found[row.fingerprint] = min(low, *row.curve), max(high, *row.curve)
    return found


def table_lines(
    items: Sequence["Item"], chosen: Sequence["RunRow"], opened: str, wanted: Wanted
) -> list[Line]:
    """One line for each run or group, and for each run of the open group."""
    inside = {
        item.group.id: run_list.members(item.group.id, wanted, run_list.MOST_MEMBERS)
        for item in items
        if item.group and item.group.id == opened
    }
    shown = [item.run for item in items] + [row for rows in inside.values() for row in rows]
    scale = scales(shown)
    marks = {row.id: place for place, row in enumerate(chosen[:MOST_RUNS])}
    ticked = {row.id for row in chosen}
    groups = Counter(row.group for row in chosen)

    def line(row: "RunRow", member: bool) -> Line:
        return run_line(
            row,
            kind="member" if member else "run",
            ticked=row.id in ticked,
            mark=marks.get(row.id) if len(chosen) > 1 else None,
            scale=scale.get(row.fingerprint, (0.0, 1.0)),
        )

    lines = []
    for item in items:
        if item.group is None:
            lines.append(line(item.run, False))
            continue
        of_scale = scale.get(item.run.fingerprint, (0.0, 1.0))
        ticks = groups[item.group.id]
        lines.append(group_line(item, opened, ticks, of_scale, filtered=wanted.filtered))
        lines += [line(row, True) for row in inside.get(item.group.id, [])]
    return lines


def group_line(
    item: "Item", opened: str, ticked: int, scale: tuple[float, float], *, filtered: bool = False
) -> Line:
    """A group as one line: its best run by the validation rows, as its own page names it.

    Its AUC is that run's of the test rows, so that the column holds one measure.

    filtered   whether the list leaves runs out, so that those of the group that fit are counted
    """
    group, best = item.group, item.run
    assert group is not None
    sweep = results_of_sweep(group.id) if group.kind == "sweep" else None
    ended, words = group.ended == group.runs, run_list.group_in_words(item)
    if sweep and not filtered:
        ended, words = sweep.ended, run_list.sweep_in_words(sweep)
    auc, part = best.auc, "highest"
    curve, settings = best.curve, f"highest: {best.name}" if auc is not None else ""
    if group.kind == "sweep":
        if sweep and (chosen := sweep.best):
            auc, rows = auc_of_sweep(sweep)
            part = _PARTS.get(rows, rows)
            shown = chosen.best_run("auc")
            curve = shown.row.curve if shown else ()
            settings = run_list.best_in_words(sweep)
    elif group.ended == group.runs and (model := best_of_models(run_list.members(group.id))):
        auc, part = model.auc, _part_in_words(model)
        curve, settings = model.curve, f"best on validation: {model.name}"
    return Line(
        "group",
        group.id,
        group.name,
        open=group.id == opened,
        ticked="some" if 0 < ticked < group.runs else ticked > 0,
        state="finished" if ended else "training",
        state_words=words,
        model="Sweep" if group.kind == "sweep" else "Comparison",
        auc=format_auc(auc),
        part="" if auc is None else part,
        curve=curve,
        scale=scale,
        settings=settings,
        dataset=best.dataset_name,
        person=best.owner_name,
        seconds="" if group.seconds is None else format_duration(group.seconds),
        created=when_in_words(group.created),
    )

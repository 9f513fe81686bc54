"""Trained runs to the tour's figures: each with its uncertainty, seed by seed, as one table."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any, Final

from benchmarks import report
from benchmarks.tour.runs import SeedRuns
from deepfm.evaluation import term_shares
from deepfm.evaluation.branches import JudgedBranch, judge_branches, judge_scores
from deepfm.explanation.beyond import Share
from deepfm.explanation.overall import pair_strengths
from deepfm.formats import NO_VALUE, format_logit
from deepfm.intervals import NORMAL_95
from deepfm.terms import TERM_NAMES
from deepfm.trained import TrainedModel

MOST_PAIRS: Final = 5
Write = Callable[[float], str]


@dataclass(frozen=True)
class Measured:
    """One figure of one seed with its 95 % interval; the ends are None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure of each seed, and how it is written."""

    what: str
    seeds: tuple[Measured, ...]
    write: Write

    def cells(self) -> list[str]:
        """The name; the first seed with its interval; mean and spread of all seeds."""
        first, values = self.seeds[0], [each.value for each in self.seeds]
        one = self.write(first.value)
        if first.low is not None and first.high is not None:
            one += f" ({self.write(first.low)} to {self.write(first.high)})"
        mean = self.write(fmean(values))
        spread = self.write(stdev(values)).lstrip("+") if len(values) > 1 else NO_VALUE
        return [self.what, one, f"{mean} ± {spread}"]

    def to_dict(self) -> dict[str, Any]:
        """All digits, for the line of JSON."""
        return {"what": self.what, "seeds": [asdict(each) for each in self.seeds]}


def rows_of(runs: Sequence[SeedRuns]) -> list[Row]:
    """Every line of the table, in the order of the tour."""
    found: dict[str, tuple[list[Measured], Write]] = {}
    for each in runs:
        for what, measured, write in (
            *_ranking(each),
            *_shares(each.whole),
            *_beyond(each),
            *_pairs(each, runs[0]),
        ):
            found.setdefault(what, ([], write))[0].append(measured)
    return [Row(what, tuple(seeds), write) for what, (seeds, write) in found.items()]


def table(rows: Sequence[Row], seeds: Sequence[int]) -> str:
    """The lines as Markdown."""
    header = ["", f"seed {seeds[0]} (95 % interval)", f"mean ± spread of {len(seeds)} seeds"]
    return report.markdown(header, [row.cells() for row in rows])


def judged(runs: SeedRuns) -> dict[str, JudgedBranch]:
    """DeepFM whole, each half with the other held at its mean, and the models trained alone."""
    scores = runs.whole.scores()
    labels, logit = scores.labels, scores.terms.logit
    found = judge_branches(labels, scores.terms, runs.whole.reference.mean, TERM_NAMES)
    named = {
        "DeepFM": found["all"],
        "its FM branch, network held at its mean": found["fm"],
        "its network, FM branch held at its mean": found["deep"],
    }
    for name, model in runs.trained.items():
        named[f"{name}, trained without the other"] = judge_scores(
            labels, model.scores().terms.logit, logit
        )
    return named


_Found = list[tuple[str, Measured, Write]]


def _ranking(runs: SeedRuns) -> _Found:
    """AUC and log loss, whole and halves; how far DeepFM is ahead of FM; calibrated log losses."""
    halves = judged(runs)
    found: _Found = [
        (f"AUC: {name}", Measured(each.auc, each.auc_low, each.auc_high), _four)
        for name, each in halves.items()
        if each.auc is not None
    ]
    for name, each in halves.items():
        if each.behind is not None and name in _AHEAD:
            ahead = each.behind
            half = NORMAL_95 * ahead.standard_error
            measured = Measured(ahead.difference, ahead.difference - half, ahead.difference + half)
            found.append((f"AUC: {_AHEAD[name]}", measured, _signed))
    for name, each in halves.items():
        measured = Measured(each.log_loss, each.log_loss_low, each.log_loss_high)
        found.append((f"log loss: {name}", measured, _four))
    for name, model in {"DeepFM": runs.whole, **runs.trained}.items():
        calibrated = model.result.log_loss_calibrated
        if calibrated is not None:
            found.append((f"log loss after calibration: {name}", Measured(calibrated), _four))
    return found


_AHEAD: Final[Mapping[str, str]] = {
    "FM, trained without the other": "DeepFM ahead of that FM",
    "DNN, trained without the other": "DeepFM ahead of that DNN",
}


def _shares(model: TrainedModel) -> _Found:
    """The score's variance over the test rows, by term, and each term's own and shared part."""
    divided = term_shares(model.scores().terms)
    percent = divided.covariance / divided.covariance.sum()
    found: _Found = [
        (f"share of the score's variance: {name}", Measured(divided.shares[name]), _percent)
        for name in TERM_NAMES
    ]
    for i, first in enumerate(TERM_NAMES):
        found.append((f"of it, {first} by itself", Measured(percent[i, i]), _percent))
    for i, j in itertools.combinations(range(len(TERM_NAMES)), 2):
        what = f"of it, {TERM_NAMES[i]} and {TERM_NAMES[j]} rising together"
        found.append((what, Measured(2 * percent[i, j]), _percent))
    return found


def _beyond(runs: SeedRuns) -> _Found:
    """The network's variance by how many fields it takes, and the score's."""
    deep, score = runs.beyond.deep, runs.beyond.score
    return [
        ("of the network: single fields", _share(deep.singles), _percent),
        ("of the network: pairs of fields", _share(deep.pairs), _percent),
        ("of the network: three fields or more", _share(deep.beyond), _percent),
        ("the same on rows as they are", _share(runs.beyond.on_reference), _percent),
        ("of the score: three fields or more", _share(score.beyond), _percent),
    ]


def _share(share: Share) -> Measured:
    half = NORMAL_95 * share.standard_error
    return Measured(share.value, share.value - half, share.value + half)


def _pairs(runs: SeedRuns, first: SeedRuns) -> _Found:
    """The first seed's strongest pairs of the FM branch and of the network, in each seed."""
    shown = pair_strengths(first.whole)
    places = [(i, j) for i, j, _ in shown.ranked[:MOST_PAIRS]]
    strength = pair_strengths(runs.whole).strength
    found: _Found = [
        (_pair("FM branch", shown.fields[i], shown.fields[j]), Measured(strength[i, j]), _logit)
        for i, j in places
    ]
    spreads = {(pair.first, pair.second): pair.spread for pair in runs.beyond.pairs()}
    for pair in first.beyond.pairs()[:MOST_PAIRS]:
        spread = Measured(spreads[pair.first, pair.second])
        found.append((_pair("network", pair.first, pair.second), spread, _logit))
    return found


def _pair(where: str, first: str, second: str) -> str:
    return f"spread of a pair in the {where} (logit): {first} × {second}"


def _four(value: float) -> str:
    return f"{value:.4f}"


def _signed(value: float) -> str:
    return format_logit(value, 4)


def _percent(share: float) -> str:
    digits = 2 if 0 < abs(share) < 0.01 else 1
    return f"{100 * share:.{digits}f} %".replace("-", "−")


def _logit(value: float) -> str:
    return f"{value:.2f}"

"""What was tried and how it went to what is tried next: optuna's samplers, rebuilt each time.

Nothing is kept between two calls: the study is made anew of the trials so far, and its random
numbers are those of the sweep's first seed and the number of trials. So the same trials are
always followed by the same next one, whoever asks and however often it was interrupted.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from deepfm.errors import ConfigError
from deepfm.sweeps.axes import Axis
from deepfm.sweeps.description import Point, Sweep

if TYPE_CHECKING:
    from types import ModuleType

    from optuna import Study
    from optuna.distributions import BaseDistribution

DRAWS: Final = 50
"""How often a point that was tried already, or does not go together, is drawn again."""


@dataclass(frozen=True)
class Trial:
    """One configuration that was begun.

    value   its objective, better when higher; None while it is trained, or where it failed
    ended   whether it will not change any more
    """

    point: Point
    value: float | None
    ended: bool


def next_point(sweep: Sweep, trials: Sequence[Trial]) -> Point | None:
    """The point to try after these trials; None where all there are were tried."""
    tried = {trial.point for trial in trials}
    for draw in range(DRAWS):
        point = _ask(sweep, trials, draw)
        if point not in tried and _fits(sweep, point):
            return point
    return _any_other(sweep, tried)


def first_points(sweep: Sweep, count: int) -> list[Point]:
    """Points to begin with, before anything is known."""
    trials: list[Trial] = []
    while len(trials) < count and (point := next_point(sweep, trials)) is not None:
        trials.append(Trial(point, None, False))
    return [trial.point for trial in trials]


def _fits(sweep: Sweep, point: Point) -> bool:
    try:
        sweep.check_point(point)
    except ConfigError:
        return False
    return True


def _any_other(sweep: Sweep, tried: set[Point]) -> Point | None:
    """Where lists of values are nearly used up: one of the rest."""
    if not sweep.combinations:
        return None
    rest = [point for point in sweep.grid() if point not in tried and _fits(sweep, point)]
    return random.Random(_seed(sweep, len(tried), 0)).choice(rest) if rest else None


def _ask(sweep: Sweep, trials: Sequence[Trial], draw: int) -> Point:
    optuna = load_optuna()
    study = _study(optuna, sweep, _seed(sweep, len(trials), draw))
    distributions = {axis.setting: _distribution(optuna, axis) for axis in sweep.axes}
    for trial in trials:
        study.add_trial(_told(optuna, sweep, trial, distributions))
    params = study.ask(distributions).params
    return tuple(_value(axis, params[axis.setting]) for axis in sweep.axes)


def _seed(sweep: Sweep, trials: int, draw: int) -> int:
    return (sweep.seeds[0] * 1_000_003 + trials * 1_009 + draw) % 2**31


def _study(optuna: "ModuleType", sweep: Sweep, seed: int) -> "Study":
    samplers = optuna.samplers
    sampler = (
        # Trials in flight count as poor ones, so that two devices do not try the same.
        samplers.TPESampler(seed=seed, constant_liar=True, multivariate=False)
        if sweep.sampler == "tpe"
        else samplers.RandomSampler(seed=seed)
    )
    study: Study = optuna.create_study(direction="maximize", sampler=sampler)
    return study


def _distribution(optuna: "ModuleType", axis: Axis) -> "BaseDistribution":
    kinds = optuna.distributions
    found: BaseDistribution
    if not axis.is_range:
        found = kinds.CategoricalDistribution([axis.declared.format(v) for v in axis.values])
    elif axis.declared.kind == "int":
        found = kinds.IntDistribution(axis.low, axis.high, log=axis.log)
    else:
        found = kinds.FloatDistribution(axis.low, axis.high, log=axis.log)
    return found


def _told(
    optuna: "ModuleType", sweep: Sweep, trial: Trial, distributions: dict[str, "BaseDistribution"]
) -> Any:
    states = optuna.trial.TrialState
    state = states.COMPLETE if trial.ended else states.RUNNING
    if trial.ended and trial.value is None:
        state = states.FAIL
    params = {
        axis.setting: value if axis.is_range else axis.declared.format(value)
        for axis, value in zip(sweep.axes, trial.point, strict=True)
    }
    return optuna.trial.create_trial(
        state=state,
        params=params,
        distributions=distributions,
        value=trial.value if state is states.COMPLETE else None,
    )


def _value(axis: Axis, drawn: Any) -> Any:
    """What optuna drew as the setting's value; numbers from a range with three digits."""
    setting = axis.declared
    if not axis.is_range:
        return setting.parse(drawn)
    if setting.kind == "int":
        return setting.check(int(drawn))
    assert axis.low is not None and axis.high is not None
    return setting.check(min(max(float(f"{drawn:.3g}"), axis.low), axis.high))


def load_optuna() -> "ModuleType":
    """Optuna, silenced; ConfigError where it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            "The samplers random and tpe need the package optuna, which is not installed. "
            "Install it (python -m pip install optuna), or use the sampler grid."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna

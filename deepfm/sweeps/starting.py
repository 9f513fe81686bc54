"""A sweep to queued runs: its datasets prepared, its first configurations, and those that follow.

`begin` queues a grid whole. The sampler tpe goes on as runs end: the worker calls `advance` for
each open sweep that has a place free, and it works out the next configuration from what is in
the store. Nothing is remembered between two calls, so app and worker may die at any line.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepfm.config import PrepareConfig, Settings, parameter_count
from deepfm.errors import ConfigError, DeepFMError, LimitError, StoreBusy, StoreError
from deepfm.sweeps.axes import PREPARED
from deepfm.sweeps.description import Point, Sweep
from deepfm.sweeps.record import KIND, Place, Record
from deepfm.sweeps.results import Configuration, Results, read_results
from deepfm.sweeps.sampling import Trial, first_points, next_point
from deepfm.sweeps.sources import prepare_again

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset
    from deepfm.data.reporting import OnEvent, ShouldStop
    from deepfm.runs.store import GroupRow, NewRun, RunRow, Store


def needs_preparing(sweep: Sweep) -> bool:
    """Whether data have to be prepared first: a minute's work for the worker, not for a page."""
    return any(axis.setting in PREPARED for axis in sweep.axes)


def check_data(sweep: Sweep, dataset: "Dataset", settings: Settings) -> None:
    """ConfigError where this dataset cannot be swept, or a model would be too large for here."""
    if "validation" not in dataset.parts:
        raise ConfigError(
            f"{dataset.name} holds out no validation rows, and a sweep chooses by those, never by "
            "the test rows. Prepare it again with a validation fraction of 0.1."
        )
    features, fields = dataset.vocabulary.num_features, len(dataset.fields)
    points = list(sweep.grid()) if sweep.combinations else []
    for point in points[:1_000]:
        count = parameter_count(features, fields, sweep.model_of(point))
        if count > settings.max_parameters:
            raise ConfigError(
                f"With {sweep.point_name(point)} the model has {count:,} parameters; this server "
                f"allows {settings.max_parameters:,} (DEEPFM_MAX_PARAMETERS). Leave that out."
            )


def begin(
    store: "Store",
    sweep: Sweep,
    *,
    pinned: Sequence[Mapping[str, str | None]] = (),
    owner: str = "",
    token: str = "",
    settings: Settings | None = None,
    on_event: "OnEvent | None" = None,
    cancelled: "ShouldStop | None" = None,
) -> str:
    """Prepare what a sweep's datasets need, and queue its runs as one group; the group's id.

    pinned   impressions whose terms ride on its runs' events
    token    of whoever asks: the same one asked twice, after a crash, gets the same group
    Runs that are in the store already, waiting, training or finished, are joined instead.
    ConfigError where the sweep cannot be; LimitError where too many runs wait already.
    """
    if token and (known := _begun(store, token)) is not None:
        return known
    from deepfm.data.dataset import open_dataset

    settings = settings or Settings.from_environment().with_values(home=str(store.home))
    dataset = open_dataset(Path(sweep.source.folder))
    check_data(sweep, dataset, settings)
    places = _places(sweep, dataset, settings, on_event, cancelled)
    record = Record(sweep, places, tuple(pinned), open=sweep.sampler == "tpe")
    points = list(sweep.grid()) if sweep.sampler == "grid" else []
    if sweep.sampler != "grid":
        points = first_points(sweep, 1 if record.open else sweep.trials)
    runs = [run for point in points for run in _new_runs(record, point, owner)]
    return store.queue_sweep(sweep.name, runs, {**record.to_dict(), "token": token}, owner)


def _begun(store: "Store", token: str) -> str | None:
    groups = store.groups(kind=KIND, limit=50)
    return next((group.id for group in groups if group.spec.get("token") == token), None)


def _places(
    sweep: Sweep,
    dataset: "Dataset",
    settings: Settings,
    on_event: "OnEvent | None",
    cancelled: "ShouldStop | None",
) -> tuple[Place, ...]:
    """The datasets, each prepared where it is not there yet."""
    found = []
    for config in _prepare_configs(sweep):
        here = dataset
        if config != dataset.prepare:
            here = prepare_again(
                sweep.source, config, settings, on_event=on_event, cancelled=cancelled
            )
        features, fields = here.vocabulary.num_features, len(here.fields)
        found.append(Place(config, str(here.folder), here.name, here.fingerprint, features, fields))
    return tuple(found)


def _prepare_configs(sweep: Sweep) -> list[PrepareConfig]:
    """What the data are prepared with, each once, in the order of the axes' values."""
    configs = [sweep.prepare]
    for axis in sweep.axes:
        if axis.setting in PREPARED:
            configs = [
                config.with_values(**{axis.setting: value})
                for config in configs
                for value in axis.values
            ]
    return configs


def _new_runs(record: Record, point: Point, owner: str) -> list["NewRun"]:
    """A point's runs, one for each seed."""
    from deepfm.runs.store import NewRun

    sweep, place = record.sweep, record.place_of(point)
    name = sweep.point_name(point)
    return [
        NewRun(
            f"{name[0].upper()}{name[1:]}, seed {seed}" if len(sweep.seeds) > 1 else name,
            Path(place.folder),
            place.name,
            sweep.model_of(point).to_dict(),
            sweep.train_of(point, seed).to_dict(),
            record.pinned,
            owner,
            place.fingerprint,
        )
        for seed in sweep.seeds
    ]


# --- what follows as runs end -------------------------------------------------------------------


def advance(store: "Store", group_id: str, places: int) -> int:
    """Queue the next configurations of an open sweep, as many as there are places free.

    Returns how many. Whatever makes it impossible ends the sweep with the cause in words; a
    queue that is full or a store that is busy does not, since that passes.
    """
    group = store.group(group_id)
    try:
        return _advance(store, group, places)
    except (LimitError, StoreBusy):
        return 0
    except DeepFMError as error:
        store.close_sweep(group_id, str(error))
        raise


def _advance(store: "Store", group: "GroupRow", places: int) -> int:
    results = read_results(store, group.id)
    record, sweep = results.record, results.sweep
    trials = trials_of(results)
    queued = 0
    while record.open and len(trials) < sweep.trials and _unfinished(trials) < places:
        point = next_point(sweep, trials)
        if point is None:
            break
        trials.append(Trial(point, None, False))
        last = len(trials) >= sweep.trials
        runs = _new_runs(record, point, group.owner)
        if not store.extend_sweep(group.id, runs, last=last):
            return queued  # It was stopped meanwhile.
        queued += 1
    if record.open and not queued and _unfinished(trials) < places:
        store.close_sweep(group.id)
    return queued


def _unfinished(trials: Sequence[Trial]) -> int:
    return sum(not trial.ended for trial in trials)


def trials_of(results: Results) -> list[Trial]:
    """A sweep's configurations as a sampler is told of them, in the order they were begun."""
    begun = sorted(results.configurations, key=lambda each: min(r.row.created for r in each.runs))
    return [Trial(each.point, _value(each, results.sweep), each.ended) for each in begun]


def _value(configuration: Configuration, sweep: Sweep) -> float | None:
    """The objective, better when higher; None before all seeds have ended."""
    figure = configuration.figure(sweep.objective)
    if figure is None or not configuration.ended:
        return None
    return figure.mean if sweep.objective == "auc" else -figure.mean


def stop(store: "Store", group_id: str) -> None:
    """Ask all of a sweep's own runs to stop, and let none follow."""
    store.close_sweep(group_id, "Stopped by a person.")
    # The last first: otherwise the worker takes the next one while we stop the one before.
    for run_id in reversed(store.group(group_id).runs):
        store.request_stop(run_id)


def missing(results: Results) -> int:
    """How many runs of a sweep that has ended were not trained to their end, or never asked for."""
    trained = sum(row.state == "finished" for row in results.runs)
    planned = len(results.configurations) * len(results.sweep.seeds)
    if results.record.message:  # ended early: trials were left
        planned = results.sweep.runs
    return planned - trained if results.ended else 0


def complete(store: "Store", group_id: str) -> None:
    """Train what is missing of a sweep: go on from checkpoints where there are any, queue the
    rest once more, and let a sweep that was stopped early try the rest of its trials.

    LimitError where too many runs wait already.
    """
    group = store.group(group_id)
    results = read_results(store, group_id)
    record, sweep = results.record, results.sweep
    again: list[NewRun] = []
    for each in results.configurations:
        there = {run.seed: run.row for run in each.runs}
        for new, seed in zip(_new_runs(record, each.point, group.owner), sweep.seeds, strict=True):
            row = there.get(seed)
            if row is None or (row.state != "finished" and row.ended and not _resumed(store, row)):
                again.append(new)
    tried = len(results.configurations)
    store.complete_sweep(group_id, again, go_on=sweep.sampler == "tpe" and tried < sweep.trials)


def _resumed(store: "Store", row: "RunRow") -> bool:
    """Whether a run could be resumed from its checkpoint."""
    try:
        store.resume_run(row.id)
    except StoreError:
        return False
    return True


def payload_for(
    sweep: Sweep, pinned: Sequence[Mapping[str, str | None]], owner: str
) -> dict[str, Any]:
    """What the worker's job "sweep" takes."""
    return {"sweep": sweep.to_dict(), "pinned": [dict(each) for each in pinned], "owner": owner}

"""`python -m deepfm VERB …`: one function a verb, one JSON object as the last line of stdout."""

import argparse
import dataclasses
import getpass
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepfm.config import (
    PRESETS,
    Config,
    ModelConfig,
    PrepareConfig,
    Setting,
    Settings,
    TrainConfig,
)
from deepfm.errors import ConfigError, DeepFMError
from deepfm.interrupts import Interrupts
from deepfm.progress import ProgressLine

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset
    from deepfm.data.schema import Schema
    from deepfm.runs.store import Store
    from deepfm.sweeps import DataSource
    from deepfm.training.loop import Run

MISTAKE = 2
"""Exit code of a mistake that one line on stderr explains."""
STOPPED = 130
"""Exit code after Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    try:
        parsed = _parser().parse_args(arguments)
        _follow_like(parsed)
        answer = parsed.verb(parsed)
    except DeepFMError as error:
        print(f"deepfm: {error}", file=sys.stderr)
        return MISTAKE
    except _Stopped as stopped:
        _print(stopped.answer)
        return STOPPED
    except KeyboardInterrupt:
        print("deepfm: stopped.", file=sys.stderr)
        return STOPPED
    if answer is not None:
        _print(answer)
    return 0


class _Stopped(Exception):
    """Ctrl-C ended a verb in order; there is still an answer."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__("stopped")
        self.answer = answer


def _print(answer: object) -> None:
    print(json.dumps(answer, ensure_ascii=False, allow_nan=False), flush=True)


# --- Verbs ------------------------------------------------------------------------------------


def inspect_verb(given: argparse.Namespace) -> dict[str, Any]:
    """What was understood of a file: format, columns, roles, reasons."""
    from deepfm.data.schema import inspect

    return inspect(Path(given.file)).to_dict()


def prepare_verb(given: argparse.Namespace) -> dict[str, Any]:
    """A raw file to a dataset folder."""
    dataset = _prepare(given, Path(given.file), Path(given.out))
    return {"dataset": str(dataset.folder), **dataset.summary().to_dict()}


def train_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Train one model on a dataset or a raw file."""
    model, train = _configs(given)
    dataset = _dataset(given)
    from deepfm.training.loop import train as train_model

    with ProgressLine() as line, Interrupts() as interrupts:
        run = train_model(
            dataset,
            model,
            train,
            out=given.out,
            on_event=line.show,
            should_stop=interrupts.asked,
        )
    return _trained(run, dataset)


def resume_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Go on with a run that was interrupted or stopped, from its last checkpoint."""
    home = Settings.from_environment().home_folder
    folder = Path(given.run)
    if (queued := _resume_in_store(folder, home)) is not None:
        return queued
    from deepfm.data.dataset import open_dataset
    from deepfm.training.checkpoint import read_checkpoint
    from deepfm.training.loop import resume

    there = given.dataset or read_checkpoint(folder).subject.dataset_folder
    dataset = open_dataset(Path(there))
    with ProgressLine() as line, Interrupts() as interrupts:
        run = resume(folder, dataset, on_event=line.show, should_stop=interrupts.asked)
    return _trained(run, dataset)


def _resume_in_store(folder: Path, home: Path) -> dict[str, Any] | None:
    """Queue a run of the store, given by its id or its folder; None for any other folder."""
    from deepfm.runs.store import Store
    from deepfm.runs.worker import ensure_worker

    if folder.is_dir() and folder.resolve().parent != home / "runs":
        return None
    with Store.open(home) as store:
        if folder.is_dir() and folder.name not in {run.id for run in store.runs()}:
            return None
        store.resume_run(folder.name)
        run = store.run(folder.name)
    ensure_worker(home)
    return {"run": run.id, "state": run.state, "attempt": run.attempt}


def _trained(run: "Run", dataset: "Dataset") -> dict[str, Any]:
    """What train and resume print; a run that was stopped by Ctrl-C says how to go on with it."""
    from deepfm.trained import open_run

    answer = {
        "run": str(run.folder),
        "model": open_run(run.folder).model.name,
        **dataclasses.asdict(run.result),
        "skipped_rows": dataset.skipped.count,
    }
    if run.result.stopped:
        print(
            f"deepfm: stopped. Go on with it by: python -m deepfm resume {run.folder}",
            file=sys.stderr,
        )
        raise _Stopped(answer)
    return answer


def evaluate_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Figures of a run on its own test rows, or on another labelled file."""
    from deepfm.evaluation import evaluate
    from deepfm.trained import open_run

    model = open_run(Path(given.run))
    evaluation = evaluate(model, data=Path(given.data) if given.data else None)
    return {
        **evaluation.to_dict(),
        "examples_per_second": model.result.examples_per_second,
        "epochs": model.result.epochs,
    }


def predict_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Score every row of a file, labelled or not, into a CSV."""
    from deepfm.evaluation import predict_file
    from deepfm.trained import open_run

    return predict_file(open_run(Path(given.run)), Path(given.file), Path(given.out))


def explain_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Why one impression got its score."""
    from deepfm.evaluation import read_impression
    from deepfm.explanation import explain
    from deepfm.trained import open_run

    model = open_run(Path(given.run))
    if given.data:
        impression = read_impression(model, Path(given.data), given.row)
        explanation = explain(model, impression, permutations=given.permutations)
    else:
        explanation = explain(model, row=given.row, permutations=given.permutations)
    return explanation.to_dict()


def beyond_verb(given: argparse.Namespace) -> dict[str, Any]:
    """What the network adds beyond pairs of fields; kept in the run's folder for the pages."""
    from deepfm.explanation.beyond import measure_beyond, save_beyond
    from deepfm.trained import open_run

    model = open_run(Path(given.run))
    with ProgressLine() as line:
        found = measure_beyond(model, on_event=line.show)
    save_beyond(model, found)
    return {"run": str(model.folder), **found.to_dict()}


def submit_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Queue a training for the worker, and start the worker if none is alive."""
    from deepfm.data.watched import watched_impressions
    from deepfm.runs.store import NewRun, Store
    from deepfm.runs.worker import ensure_worker

    model, train = _configs(given)
    dataset = _dataset(given)
    home = Settings.from_environment().home_folder
    run = NewRun(
        given.name or model.name,
        dataset.folder,
        dataset.name,
        model.to_dict(),
        train.to_dict(),
        watched_impressions(dataset),
        shell_owner(),
        dataset.fingerprint,
    )
    with Store.open(home) as store:
        submitted = store.submit_run(run, anew=given.anew)
        state = store.run(submitted.run).state
    if submitted.joined:
        print(
            f"deepfm: the same run is there already ({state}), so it was joined; "
            "--anew trains it again.",
            file=sys.stderr,
        )
    ensure_worker(home)
    return {"run": submitted.run, "joined": submitted.joined}


def sweep_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Queue several values of some settings as one group, and follow it to its end."""
    from deepfm import sweeps
    from deepfm.runs.store import Store
    from deepfm.runs.worker import ensure_worker

    model, train = _configs(given)
    dataset = _dataset(given)
    home = Settings.from_environment().home_folder
    axes = sweeps.axes_of(
        given.set, given.study or "", dataset.summary().parts["train"].rows, model
    )
    with Store.open(home) as store, ProgressLine() as line:
        sweep = sweeps.sweep_of(
            axes,
            _source(given, dataset, store),
            dataset.prepare,
            model,
            train,
            seeds=given.seeds,
            sampler=given.sampler,
            trials=given.trials,
            objective=given.objective,
            study=given.study or "",
            name=given.name or "",
        )
        group = sweeps.begin(store, sweep, owner=shell_owner(), on_event=line.show)
        ensure_worker(home)
        if given.detach:
            return {"sweep": group, "runs": sweep.runs, "queued": len(store.group(group).runs)}
        try:
            results = sweeps.follow(store, group, line.show, lambda: ensure_worker(home))
        except KeyboardInterrupt:
            print("\nThe sweep goes on without this command.", file=sys.stderr)
            raise
    return sweeps.to_json(results, group)


def runs_verb(given: argparse.Namespace) -> list[dict[str, Any]]:
    """All runs of this installation, newest first."""
    from deepfm.runs.store import Store

    with Store.open(Settings.from_environment().home_folder) as store:
        return [
            {"run": r.id, "state": r.state, "name": r.name, "epoch": r.epoch, "auc": r.auc}
            for r in store.runs()
        ]


def stop_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Ask a run to stop; what it has learned is kept."""
    from deepfm.runs.store import Store

    with Store.open(Settings.from_environment().home_folder) as store:
        store.request_stop(given.run)
        return {"run": given.run, "state": store.run(given.run).state, "wanted": "stop"}


def export_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Write a run that has ended, with its model and curves, into one file."""
    from deepfm.runs.store import Store

    with Store.open(Settings.from_environment().home_folder) as store:
        file = store.export_run(given.run, Path(given.out))
        return {"run": given.run, "file": str(file), "bytes": file.stat().st_size}


def import_verb(given: argparse.Namespace) -> dict[str, Any]:
    """Take in a run that was exported, here or elsewhere."""
    from deepfm.runs.store import Store

    with Store.open(Settings.from_environment().home_folder) as store:
        run = store.run(store.import_run(Path(given.file), owner=shell_owner()))
    return {"run": run.id, "imported": run.imported, "state": run.state, "name": run.name}


def worker_verb(given: argparse.Namespace) -> None:
    """Train what is queued until stopped: one worker for each DEEPFM_HOME."""
    from deepfm.runs.worker import run_worker

    home = Path(given.home).resolve() if given.home else Settings.from_environment().home_folder
    run_worker(home, exit_when_idle=given.exit_when_idle)


# --- From flags to configurations -------------------------------------------------------------


def _configs(given: argparse.Namespace) -> tuple[ModelConfig, TrainConfig]:
    """Defaults, then those of --like, then the preset, then what was given."""
    preset = PRESETS[given.preset] if given.preset else None
    like_model = given.recipe.model.to_dict() if given.recipe else {}
    like_train = given.recipe.train.to_dict() if given.recipe else {}
    model, train = _given(given, ModelConfig), _given(given, TrainConfig)
    if given.separate_embedding is not None:
        model["shared_embedding"] = not given.separate_embedding
    return (
        ModelConfig.from_dict({**like_model, **(preset.model if preset else {}), **model}),
        TrainConfig.from_dict({**like_train, **(preset.train if preset else {}), **train}),
    )


def _follow_like(given: argparse.Namespace) -> None:
    """Look up the run of --like; its dataset is taken where no other is given."""
    if not hasattr(given, "like"):
        return
    if given.like is not None:
        from deepfm.runs.repeat import recipe_of

        given.recipe = recipe_of(given.like, Settings.from_environment().home_folder)
        if given.dataset is None:
            given.dataset = str(given.recipe.dataset().folder)
    elif given.dataset is None:
        raise ConfigError(
            "Give a dataset folder or a file to train on, or a run to follow: --like RUN."
        )


def shell_owner() -> str:
    """Who queues from the command line: the user of this machine, where they have a name."""
    try:
        return f"shell:{getpass.getuser()}"
    except (KeyError, OSError):
        return "shell:"


def _prepare_config(given: argparse.Namespace) -> PrepareConfig:
    preset = PRESETS[given.preset].prepare if given.preset else {}
    return PrepareConfig.from_dict({**preset, **_given(given, PrepareConfig)})


def _given(given: argparse.Namespace, config: type[Config]) -> dict[str, Any]:
    """The settings that were given as flags, parsed and within bounds."""
    texts = vars(given)
    return {
        setting.name: setting.parse(texts[_destination(config, setting)])
        for setting in config.settings()
        if texts.get(_destination(config, setting)) is not None
    }


def _destination(config: type[Config], setting: Setting) -> str:
    """Where argparse keeps a flag: prepare's seed is not training's."""
    return f"{config.__name__}.{setting.name}"


def _dataset(given: argparse.Namespace) -> "Dataset":
    """Open a dataset folder, or prepare a raw file into DEEPFM_HOME."""
    from deepfm.data.dataset import open_dataset

    path = Path(given.dataset)
    if not path.is_dir():
        return _prepare(given, path, None)
    dataset = open_dataset(path)
    wanted = _prepare_config(given)
    for name in _asked_of_prepare(given):
        have, want = dataset.prepare.to_dict()[name], wanted.to_dict()[name]
        if have != want:
            raise ConfigError(
                f"This dataset was prepared with {name} {have}, and you ask for {want}. "
                f"Train from the raw file instead, or leave out --{name.replace('_', '-')} "
                "and any preset that sets it."
            )
    return dataset


def _asked_of_prepare(given: argparse.Namespace) -> Iterable[str]:
    preset = PRESETS[given.preset].prepare if given.preset else {}
    return {*preset, *_given(given, PrepareConfig)}


def _prepare(given: argparse.Namespace, path: Path, out: Path | None) -> "Dataset":
    from deepfm.data.catalog import is_d2l_zip, prepare_d2l
    from deepfm.data.dataset import prepare

    with ProgressLine() as line:
        if is_d2l_zip(path):
            return prepare_d2l(path, out=out, config=_prepare_config(given), on_event=line.show)
        return prepare(
            path,
            Path(given.test) if given.test else None,
            config=_prepare_config(given),
            schema=_read_schema(Path(given.schema)) if given.schema else None,
            label=given.label,
            positive=given.positive,
            out=out,
            on_event=line.show,
        )


def _source(given: argparse.Namespace, dataset: "Dataset", store: "Store") -> "DataSource":
    """Where a dataset came from: the file that was given, else the job that prepared it."""
    from deepfm.data.catalog import is_d2l_zip
    from deepfm.sweeps import DataSource, source_of

    path = Path(given.dataset).resolve()
    if path.is_dir():
        return source_of(dataset, store.jobs(), store.home)
    place = (str(dataset.folder), dataset.name, dataset.fingerprint)
    if is_d2l_zip(path):
        return DataSource(*place, "d2l", {"archive": str(path)})
    test = {"test": str(Path(given.test).resolve())} if given.test else {}
    return DataSource(
        *place, "files", {"train": str(path), **test, "schema": dataset.schema.to_dict()}
    )


def _read_schema(path: Path) -> "Schema":
    from deepfm.data.schema import Schema

    try:
        return Schema.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigError(f"The schema {path} cannot be read as JSON: {error}.") from error


# --- Flags ------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """argparse whose mistakes are one line, as every other mistake is."""

    def error(self, message: str) -> Any:
        raise ConfigError(f"{message}. See python -m {self.prog} --help.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="deepfm", description="Click data to DeepFM to reasons for a score.")
    verbs = parser.add_subparsers(
        title="verbs", metavar="VERB", required=True, parser_class=_Parser
    )

    def add(name: str, function: Callable[[argparse.Namespace], Any]) -> argparse.ArgumentParser:
        verb = verbs.add_parser(name, help=function.__doc__, description=function.__doc__)
        verb.set_defaults(verb=function)
        return verb

    add("inspect", inspect_verb).add_argument("file")
    verb = add("prepare", prepare_verb)
    verb.add_argument("file", metavar="TRAIN")
    _add_prepare_flags(verb)
    verb.add_argument("--out", required=True, help="the new dataset folder")
    verb = add("train", train_verb)
    _add_train_flags(verb)
    verb.add_argument("--out", help="the new run folder; by default one under DEEPFM_HOME")
    verb = add("evaluate", evaluate_verb)
    verb.add_argument("run", metavar="RUN_DIR")
    verb.add_argument("--data", metavar="FILE", help="another labelled file")
    verb = add("predict", predict_verb)
    verb.add_argument("run", metavar="RUN_DIR")
    verb.add_argument("file", metavar="FILE")
    verb.add_argument("--out", required=True, metavar="CSV")
    verb = add("explain", explain_verb)
    verb.add_argument("run", metavar="RUN_DIR")
    verb.add_argument("--row", type=int, required=True, help="row of the part, from 0")
    verb.add_argument("--data", metavar="FILE", help="count rows in this file instead")
    verb.add_argument("--permutations", type=int, default=200, help="draws for deep by field")
    add("beyond", beyond_verb).add_argument("run", metavar="RUN_DIR")
    verb = add("submit", submit_verb)
    _add_train_flags(verb)
    verb.add_argument("--name", help="the run's name")
    verb.add_argument("--anew", action="store_true", help="also where the same run is there")
    verb = add("sweep", sweep_verb)
    _add_train_flags(verb)
    _add_sweep_flags(verb)
    add("runs", runs_verb)
    add("stop", stop_verb).add_argument("run", metavar="RUN")
    verb = add("resume", resume_verb)
    verb.add_argument("run", metavar="RUN", help="a run's id, or the folder of a training")
    verb.add_argument(
        "--dataset", metavar="DATASET_DIR", help="where the folder's dataset is now, if it moved"
    )
    verb = add("export", export_verb)
    verb.add_argument("run", metavar="RUN")
    verb.add_argument("--out", required=True, metavar="FILE", help="the new file, a .zip")
    add("import", import_verb).add_argument("file", metavar="FILE")
    verb = add("worker", worker_verb)
    verb.add_argument("--home", help="the folder of all state; by default DEEPFM_HOME")
    verb.add_argument("--exit-when-idle", type=float, default=0, metavar="MINUTES", help="0: never")
    start = verbs.add_parser("start", help="Set up what is missing and start the app.")
    start.set_defaults(verb=lambda given: None)
    return parser


def _add_prepare_flags(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--preset", choices=sorted(PRESETS), help="named values; flags win")
    verb.add_argument("--test", metavar="FILE", help="test rows in a file of their own")
    verb.add_argument("--label", metavar="COLUMN", help="the label column; guessed if not given")
    verb.add_argument("--positive", metavar="VALUE", help="the label value that means clicked")
    verb.add_argument("--schema", metavar="FILE", help="columns and roles as inspect prints them")
    for setting in PrepareConfig.settings():
        flag = "--split-seed" if setting.name == "seed" else setting.flag
        _add_setting(verb, PrepareConfig, setting, flag)


def _add_train_flags(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("dataset", metavar="DATASET_DIR_OR_FILE", nargs="?")
    verb.add_argument(
        "--like",
        metavar="RUN",
        help="dataset, all settings and seed of a run (its id, or its folder); flags win",
    )
    verb.set_defaults(recipe=None)
    _add_prepare_flags(verb)
    for config in (ModelConfig, TrainConfig):
        for setting in config.settings():
            if setting.name != "shared_embedding":
                _add_setting(verb, config, setting, setting.flag)
    verb.add_argument(
        "--separate-embedding",
        action=argparse.BooleanOptionalAction,
        help="the network has an embedding table of its own",
    )


def _add_sweep_flags(verb: argparse.ArgumentParser) -> None:
    from deepfm.sweeps import OBJECTIVES, SAMPLERS, STUDIES

    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SETTING=VALUES",
        help="values to try: num_factors=4,8,16 or mlp_dims=30,20,10;64,32; a range for random "
        "and tpe: learning_rate=0.001..0.1. May be given several times",
    )
    verb.add_argument("--study", choices=list(STUDIES), help="a ready-made sweep")
    verb.add_argument("--sampler", choices=SAMPLERS, default="grid", help="grid tries all")
    verb.add_argument("--trials", type=int, default=0, help="configurations of random and tpe")
    verb.add_argument("--seeds", type=int, default=3, help="runs of each configuration")
    verb.add_argument("--objective", choices=OBJECTIVES, default="auc", help="of validation rows")
    verb.add_argument("--name", help="the sweep's name")
    verb.add_argument("--detach", action="store_true", help="queue it and return at once")


def _add_setting(
    verb: argparse.ArgumentParser, config: type[Config], setting: Setting, flag: str
) -> None:
    default = setting.format(setting.default)
    extra: dict[str, Any] = {"nargs": "?", "const": "yes"} if setting.kind == "bool" else {}
    verb.add_argument(
        flag,
        dest=_destination(config, setting),
        metavar="|".join(setting.choices) or setting.kind.upper(),
        help=f"{setting.help} (default {default})".replace("%", "%%"),
        **extra,
    )

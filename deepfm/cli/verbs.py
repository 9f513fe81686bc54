"""The verbs and their flags, as argparse reads them."""

import argparse
from collections.abc import Callable
from typing import Any

from deepfm.cli.data import inspect_verb, prepare_verb
from deepfm.cli.flags import add_prepare_flags, add_sweep_flags, add_train_flags
from deepfm.cli.looking import (
    beyond_verb,
    evaluate_verb,
    explain_verb,
    export_onnx_verb,
    predict_verb,
    report_verb,
)
from deepfm.cli.runs import export_verb, import_verb, runs_verb, stop_verb, worker_verb
from deepfm.cli.training import resume_verb, submit_verb, sweep_verb, train_verb
from deepfm.errors import ConfigError


class _Parser(argparse.ArgumentParser):
    """argparse whose mistakes are one line, as every other mistake is."""

    def error(self, message: str) -> Any:
        raise ConfigError(f"{message}. See python -m {self.prog} --help.")


def make_parser() -> argparse.ArgumentParser:
    """Every verb with its flags; parse_args raises ConfigError for a mistake."""
    parser = _Parser(prog="deepfm", description="Click data to DeepFM to reasons for a score.")
    verbs = parser.add_subparsers(
        title="verbs", metavar="VERB", required=True, parser_class=_Parser
    )

    def add(name: str, function: Callable[[argparse.Namespace], Any]) -> argparse.ArgumentParser:
        verb = verbs.add_parser(name, help=function.__doc__, description=function.__doc__)
        verb.set_defaults(verb=function)
        return verb

    verb = add("inspect", inspect_verb)
    verb.add_argument("file")
    verb.add_argument("--separator", help="of its cells, where the guess is wrong: tab, comma, …")
    verb.add_argument("--encoding", help="of its text, where the guess is wrong: gb18030, big5, …")
    verb = add("prepare", prepare_verb)
    verb.add_argument("file", metavar="TRAIN")
    add_prepare_flags(verb)
    verb.add_argument("--out", required=True, help="the new dataset folder")
    verb = add("train", train_verb)
    add_train_flags(verb)
    verb.add_argument("--out", help="the new run folder; by default one under DEEPFM_HOME")
    verb = add("evaluate", evaluate_verb)
    verb.add_argument("run", metavar="RUN_DIR")
    verb.add_argument("--data", metavar="FILE", help="another labelled file")
    verb = add("predict", predict_verb)
    verb.add_argument("run", metavar="RUN_DIR")
    verb.add_argument("file", metavar="FILE")
    verb.add_argument("--out", required=True, metavar="FILE", help="a .csv or .parquet")
    verb.add_argument(
        "--contributions",
        choices=("none", "terms", "fields"),
        default="none",
        help="what moved each score, measured against the run's reference: by term, by field too",
    )
    verb.add_argument(
        "--permutations", type=int, default=0, help="draws for deep by field, a row; 0: without"
    )
    verb = add("explain", explain_verb)
    verb.add_argument("run", metavar="RUN_DIR")
    verb.add_argument("--row", type=int, required=True, help="row of the part, from 0")
    verb.add_argument("--data", metavar="FILE", help="count rows in this file instead")
    verb.add_argument("--permutations", type=int, default=200, help="draws for deep by field")
    add("beyond", beyond_verb).add_argument("run", metavar="RUN_DIR")
    verb = add("report", report_verb)
    verb.add_argument("run", metavar="RUN_DIR")
    verb.add_argument("--row", type=int, help="of this impression, instead of the whole run")
    verb.add_argument("--data", metavar="FILE", help="count rows in this file instead")
    verb.add_argument("--permutations", type=int, default=200, help="draws for deep by field")
    verb.add_argument("--out", metavar="FILE", help="the new file, a .html; else in this folder")
    verb = add("export-onnx", export_onnx_verb)
    verb.add_argument("run", metavar="RUN_DIR")
    verb.add_argument("--out", required=True, metavar="FILE", help="the new file, a .onnx")
    verb.add_argument(
        "--ids", choices=("int32", "int64"), default="int64", help="type of the input"
    )
    verb = add("submit", submit_verb)
    add_train_flags(verb)
    verb.add_argument("--name", help="the run's name")
    verb.add_argument("--anew", action="store_true", help="also where the same run is there")
    verb = add("sweep", sweep_verb)
    add_train_flags(verb)
    add_sweep_flags(verb)
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

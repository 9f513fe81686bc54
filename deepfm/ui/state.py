"""The address and the store to what a page shows: home, store, datasets, runs, each read once.

State lives in the run store, then in the address (?dataset=, ?run=), then in a session key with
a name. What is read from disk is kept by the file's time of change, so a page that is drawn
again reads nothing anew, and a folder that changed is read again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import streamlit as st

from deepfm.charts.palette import format_auc, format_count, shortened
from deepfm.config import Settings
from deepfm.errors import DataError, DeepFMError, RunError
from deepfm.ui.shared import once
from deepfm.ui.text import show_error

if TYPE_CHECKING:
    from deepfm.data.dataset import Dataset
    from deepfm.runs.store import RunRow, Store
    from deepfm.trained import TrainedModel

DEMO: Final = "demo"
"""The id of the bundled dataset and of the bundled run."""

DEMO_RUN_FOLDER: Final = Path(__file__).resolve().parents[2] / "assets" / "demo_run"
DEMO_MODELS_FOLDER: Final = DEMO_RUN_FOLDER.with_name("demo_models")
"""The models of fewer terms beside the bundled run, a folder each."""
DEMO_RUN_NAME: Final = "Bundled demo run"

MOST_CHOICES: Final = 200
"""The newest runs that can be chosen."""

_LAST_DATASET: Final = "last_dataset"
_LAST_RUN: Final = "last_run"


def settings() -> Settings:
    """Limits and places of this installation."""
    return Settings.from_environment()


def home() -> Path:
    """The folder of all state."""
    return settings().home_folder


def store() -> "Store":
    """The run store of this home, opened once for the server."""
    folder = home()
    return once(("store", folder), lambda: _open_store(folder))


def _open_store(folder: Path) -> "Store":
    from deepfm.runs.store import Store

    return Store.open(folder)


# --- what the address names ---------------------------------------------------------------


# An address without ?dataset= or ?run= means the default. A default is never written into it:
# each write is one more step for the browser's Back.


def dataset_in_address() -> str:
    """The dataset's id (its fingerprint, or "demo"): from the address, else the last one seen.

    A run or group in the address is shown with its own dataset.
    """
    if implied := _dataset_of_run():
        st.session_state[_LAST_DATASET] = implied
        return implied
    return _in_address("dataset", _LAST_DATASET) or DEMO


def _dataset_of_run() -> str:
    """The id of the dataset that the run or group in the address was trained on; "" if none."""
    from deepfm.sweeps import KIND, Record

    run_id, group_id = (st.query_params.get(name, "") for name in ("run", "group"))
    try:
        if group_id:
            group = store().group(group_id)
            if group.kind == KIND:
                source = Record.from_dict(group.spec).sweep.source
                return DEMO if source.name == DEMO else source.fingerprint
            run_id = group.runs[0]
        if not run_id or run_id == DEMO:
            return ""
        row = store().run(run_id)
    except DeepFMError:
        return ""
    return DEMO if row.dataset_name == DEMO else row.fingerprint


def run_in_address() -> str:
    """The run's id: from the address, else the last one seen, else this person's newest.

    A run that was last seen in training counts once it is trained; without any trained run of
    theirs it is the bundled demo run. What others train meanwhile never takes its place.
    """
    named = st.query_params.get("run", "")
    last = _in_address("run", _LAST_RUN)
    return last if named or _has_model(last) else _newest_own_run()


def _newest_own_run() -> str:
    """The newest trained run of this person, of this machine's command line, or of nobody."""
    from deepfm.runs.store.people import shell_owner
    from deepfm.ui.person import person

    own = [
        row.id
        for owner in (person(), shell_owner(), "")
        for row in store().runs(owner=owner, states=("finished", "stopped"), limit=50)
        if is_trained(row)
    ]
    return max(own, default=DEMO)  # ids sort by time


OF_A_RUN: Final = (
    *("part", "row", "list", "pinned", "change", "with"),  # the impression
    *("against", "where"),  # what it is measured against
    *("threshold", "field", "value", "low", "high"),  # the decision, and the slice it is for
    *("box", "map", "pair"),  # a corner, a field and a pair of the whole model
)
"""What an address says about a run, and would mean something else of another one."""


def forget_unknown() -> list[str]:
    """Take ids that name nothing here out of the address; a sentence about each."""
    sentences = []
    looks = {
        "run": (_look_at_run, "run"),
        "group": (_look_at_group, "group of runs"),
        "dataset": (dataset, "dataset"),
    }
    for name, (look, what) in looks.items():
        value = st.query_params.get(name, "")
        try:
            if value:
                look(value)
        except DeepFMError:
            shown = shortened(value, 40)
            sentences.append(f"There is no {what} “{shown}” here; it may have been deleted.")
            for gone in (name, *(OF_A_RUN if name == "run" else ())):
                st.query_params.pop(gone, None)
            for last in (_LAST_RUN, _LAST_DATASET):
                if st.session_state.get(last) == value:
                    del st.session_state[last]
    return sentences


def _look_at_run(run_id: str) -> None:
    if run_id != DEMO:
        store().run(run_id)


def _look_at_group(group_id: str) -> None:
    store().group(group_id)


def remember_run() -> None:
    """Keep the run of this address in mind for the pages that show one."""
    _in_address("run", _LAST_RUN)


def _has_model(run_id: str) -> bool:
    try:
        return bool(run_id) and (run_id == DEMO or is_trained(store().run(run_id)))
    except DeepFMError:
        return False


def show_dataset(dataset_id: str) -> None:
    """Put a dataset into the address of this page, in the place of a run with its own."""
    for name in ("run", "group"):
        st.query_params.pop(name, None)
    st.query_params["dataset"] = dataset_id
    st.session_state[_LAST_DATASET] = dataset_id


def show_run(run_id: str) -> None:
    """Put a run into the address of this page."""
    st.query_params["run"] = run_id
    st.session_state[_LAST_RUN] = run_id


def _in_address(name: str, last: str) -> str:
    value = st.query_params.get(name, "")
    if value:
        st.session_state[last] = value
    return value or str(st.session_state.get(last, ""))


# --- datasets -----------------------------------------------------------------------------


@dataclass(frozen=True)
class DatasetChoice:
    """One dataset that can be chosen: id for the address, name for the reader."""

    id: str
    name: str
    modified: float


def dataset_choices() -> list[DatasetChoice]:
    """The demo, then the datasets of this home, newest first."""
    found = [
        DatasetChoice(folder.name, _dataset(folder, _time(folder / "schema.json")).name, time)
        for folder, time in _dataset_folders()
    ]
    found.sort(key=lambda choice: -choice.modified)
    return [
        DatasetChoice(DEMO, "Bundled demo", 0.0),
        *(choice for choice in found if choice.id != _demo_fingerprint()),
    ]


def _dataset_folders() -> list[tuple[Path, float]]:
    folder = home() / "datasets"
    if not folder.is_dir():
        return []
    return [
        (child, _time(child / "schema.json"))
        for child in sorted(folder.iterdir())
        if (child / "schema.json").is_file() and not child.name.startswith(".")
    ]


def dataset(dataset_id: str) -> "Dataset":
    """The dataset of an id; DataError if there is none."""
    if dataset_id == DEMO:
        return _demo_dataset(home())
    for folder, time in _dataset_folders():
        if folder.name == dataset_id:
            return _dataset(folder, time)
    raise DataError(
        "The dataset that this link names is not on this server; it may have been deleted. "
        "Choose another one, or load the file again on Data."
    )


@st.cache_resource(show_spinner=False, max_entries=16)
def _dataset(folder: Path, time: float) -> "Dataset":
    from deepfm.data.dataset import open_dataset

    return open_dataset(folder)


@st.cache_resource(show_spinner="Making the demo…")
def _demo_dataset(home_folder: Path) -> "Dataset":
    from deepfm.data.catalog import open_demo

    return open_demo(home_folder)


def _demo_fingerprint() -> str:
    """The demo's folder name if it was made already; making it is left to who asks for it."""
    for folder, time in _dataset_folders():
        if _dataset(folder, time).name == DEMO:
            return folder.name
    return ""


# --- runs ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunChoice:
    """One trained run that can be looked at."""

    id: str
    name: str
    words: str


def run_choices(limit: int = MOST_CHOICES) -> list[RunChoice]:
    """Trained runs, newest first, then the bundled demo run."""
    rows = [
        RunChoice(row.id, row.name, run_in_words(row))
        for row in store().runs(limit=limit)
        if is_trained(row)
    ]
    return [*rows, RunChoice(DEMO, DEMO_RUN_NAME, "demo")]


def run_in_words(row: "RunRow") -> str:
    """ "demo · test AUC 0.7903"; of a group its name, "All five on demo 2 · test AUC 0.7903"."""
    words = row.group_name or row.dataset_name
    return words if row.auc is None else f"{words} · {auc_name(row)} {format_auc(row.auc)}"


def auc_name(row: "RunRow") -> str:
    """ "test AUC": which rows a run's AUC is of; "AUC" alone until it has ended."""
    part = str((row.result or {}).get("part", "")) if row.ended else ""
    return f"{part} AUC".strip()


def is_trained(row: "RunRow") -> bool:
    """Whether a run's folder holds a model that can be scored."""
    return row.state in ("finished", "stopped") and (row.folder / "config.json").is_file()


def run_name(run_id: str) -> str:
    """What a run is called; StoreError where there is none."""
    return DEMO_RUN_NAME if run_id == DEMO else store().run(run_id).name


def rows_of_all(model: "TrainedModel", part: str, rows: int) -> str:
    """So many rows of a part: "500", or "500 of 6,000" where the bundled run keeps a sample."""
    from deepfm.data.synthetic import DEMO_ROWS

    if model.folder == DEMO_RUN_FOLDER and rows == len(model.scores(part)):
        return f"{format_count(rows)} of {format_count(DEMO_ROWS[part])}"
    return format_count(rows)


def run_folder(run_id: str) -> Path:
    """The folder of a run; StoreError or RunError says why there is none."""
    if run_id == DEMO:
        return DEMO_RUN_FOLDER
    row = store().run(run_id)
    if not is_trained(row):
        raise RunError(f"Run “{row.name}” is {row.state}; it has no model to look at.")
    return row.folder


def trained(run_id: str) -> "TrainedModel":
    """The model of a run, read once; RunError if its folder is missing or damaged."""
    folder = run_folder(run_id)
    return _trained(folder, run_time(folder))


def demo_model(name: str) -> "TrainedModel":
    """One of the five models, trained on the demo and bundled; DeepFM is the bundled run."""
    model = trained(DEMO)
    if name == "DeepFM":
        return model
    folder = DEMO_MODELS_FOLDER / name
    return _beside(folder, run_time(folder), model)


@st.cache_resource(show_spinner=False, max_entries=8)
def _beside(folder: Path, time: float, _model: "TrainedModel") -> "TrainedModel":
    from deepfm.trained import open_beside

    return open_beside(_model, folder)


def run_time(folder: Path) -> float:
    """When a run folder was last changed: the key of everything that is read from it."""
    return max(_time(folder / name) for name in ("config.json", "model.safetensors"))


@st.cache_resource(show_spinner=False, max_entries=16)
def _trained(folder: Path, time: float) -> "TrainedModel":
    from deepfm.trained import open_run

    return open_run(folder)


def field_values(model: "TrainedModel", field: str) -> list[str]:
    """The values of a field that have a feature of their own, the commonest first."""
    return _field_values(model.folder, run_time(model.folder), model, field)


@st.cache_data(show_spinner=False, max_entries=512)
def _field_values(folder: Path, time: float, _model: "TrainedModel", field: str) -> list[str]:
    # The last one is the default, which no value is called.
    return list(_model.vocabulary.values(field).value[:-1])


def chosen_run() -> tuple[str, "TrainedModel"]:
    """The run that the address names, opened; else one sentence, the way out, and a stop."""
    run_id = ""
    try:
        run_id = run_in_address()
        return run_id, trained(run_id)
    except DeepFMError as error:
        show_error(error)
        if run_id != DEMO and DEMO_RUN_FOLDER.is_dir():
            st.button("Show the bundled demo run", on_click=show_run, args=(DEMO,))
        st.stop()


def _time(file: Path) -> float:
    """When a file was changed, in seconds; 0 where there is none."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0

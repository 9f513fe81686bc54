"""Where click data come from: a dropped file, the demo, D2L's set, or a folder on the server.

Nothing is parsed here: a file that arrives becomes a job "inspect", whose id in the address
(?inspect=) is what the rest of the page goes by; a test file is kept there too (?test=).
"""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import streamlit as st

from deepfm.charts.palette import format_bytes
from deepfm.config import Settings
from deepfm.data.catalog import is_d2l_zip
from deepfm.data.schema import Schema
from deepfm.errors import DataError, DeepFMError
from deepfm.ui import state
from deepfm.ui.data_draft import DRAFT
from deepfm.ui.dropzone import dropzone
from deepfm.ui.text import plain, show_error, show_notice, told
from deepfm.ui.upload import Upload, find_upload, upload_limit
from deepfm.ui.waiting import show_job_end, wait_for_job

if TYPE_CHECKING:
    from deepfm.runs.store import JobRow

INSPECT: Final = "inspect"
TEST: Final = "test"
FETCH: Final = "fetch"
PREPARE: Final = "prepare"
"""What the address names: the job that read the sample, the test file, the job that fetches the
D2L set, the job that prepares the file.
"""
_NAMED: Final = (INSPECT, TEST, FETCH, PREPARE)
_LOOKED_AT: Final = "data_page_dataset"
_OPEN: Final = "data_page_open"

KINDS: Final = (
    "Tab-, comma- or semicolon-separated text, JSON Lines, libsvm, Parquet; also packed: .gz, "
    ".zip, .zst, .bz2, .xz or .lz4."
)
SUFFIXES: Final = (
    *(".tsv", ".csv", ".txt", ".svm", ".libsvm", ".ffm", ".libffm"),
    *(".json", ".jsonl", ".ndjson"),
    *(".parquet", ".feather", ".arrow", ".gz", ".zip", ".zst", ".bz2", ".xz", ".lz4"),
)
HIGH: Final = 120
LOW: Final = 92
"""Pixels of the drop zones: before a file is there, and after."""
MOST_FILES: Final = 500
_SERVER: Final = "server"
"""Stands in ?test= in place of an upload's id for a file of the server's folder."""


def show_source(settings: Settings) -> None:
    """Drop zones and the other ways in; whoever may see the data is said before."""
    if is_shared(st.context.url):
        show_notice("Everyone with this link can see this data and its runs.")
    train, test = st.columns([3, 2], gap="medium")
    height = LOW if INSPECT in st.query_params else HIGH
    with train:
        _train_zone(settings, height)
    with test:
        _test_zone(settings, height)
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Use the demo",
            icon=":material/play_circle:",
            on_click=leave_for_dataset,
            args=(state.DEMO,),
        )
        st.button("Fetch the D2L ctr set", icon=":material/download:", on_click=told(_fetch_d2l))
        if settings.data_folder:
            _server_folder(settings)
    _show_fetch()


def is_shared(url: str | None) -> bool:
    """Whether a page with this address can be opened from other machines."""
    host = urlsplit(url or "").hostname or "localhost"
    if host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


# --- files --------------------------------------------------------------------------------


def _train_zone(settings: Settings, height: int) -> None:
    try:
        arrived = dropzone(
            "Drop your click log here, or choose a file",
            f"Up to {format_bytes(upload_limit(settings))}. {KINDS}",
            key="train_file",
            settings=settings,
            current=_current_train(),
            height=height,
        )
        if arrived is not None and is_d2l_zip(arrived.path):
            _fetch_d2l(arrived.path)
            st.rerun()
        if arrived is not None:
            inspect_file(arrived.path)
    except DeepFMError as error:
        show_error(error)


def _test_zone(settings: Settings, height: int) -> None:
    try:
        arrived = dropzone(
            "Test file (optional)",
            "Same columns. Without it, some rows of the first file are held out for testing.",
            key="test_file",
            settings=settings,
            current=chosen_test(settings),
            height=height,
        )
    except DeepFMError as error:
        show_error(error)
        return
    if arrived is not None:
        st.query_params[TEST] = f"{arrived.id}/{arrived.name}"
        st.rerun()
    if TEST in st.query_params:
        st.button(
            "Leave the test file out",
            key="no_test",
            type="tertiary",
            icon=":material/close:",
            on_click=_forget,
            args=(TEST,),
        )


def chosen_test(settings: Settings) -> Upload | None:
    """The test file that the address names, if it is still there."""
    place, _, name = st.query_params.get(TEST, "").partition("/")
    try:
        if place != _SERVER:
            return find_upload(settings, place, name)
        path = server_file(Path(settings.data_folder).expanduser(), name)
    except DataError:
        return None
    return Upload("", path.name, path.stat().st_size, path)


def _current_train() -> Upload | None:
    job_id = st.query_params.get(INSPECT)
    if not job_id:
        return None
    path = Path(state.store().job(job_id).payload["path"])
    return Upload("", path.name, path.stat().st_size, path) if path.is_file() else None


def inspect_file(
    path: Path, schema: Schema | None = None, draft: Mapping[str, Any] | None = None
) -> None:
    """Have a sample of a file read anew; the page then shows what was understood.

    draft   what was chosen already, as data_draft keeps it
    """
    payload: dict[str, Any] = {"path": str(path)}
    if schema is not None:
        payload["schema"] = schema.to_dict()
    if draft is not None:
        payload[DRAFT] = dict(draft)
    st.query_params[INSPECT] = state.store().queue_job("inspect", payload)
    st.rerun()


def keep_open() -> None:
    """What is looked at here stays open while other pages are visited."""
    named = {name: st.query_params[name] for name in _NAMED if name in st.query_params}
    if not named:
        named = st.session_state.get(_OPEN, {})
        st.query_params.update(named)
    st.session_state[_OPEN] = named


def _forget(name: str) -> None:
    st.query_params.pop(name, None)
    st.session_state.get(_OPEN, {}).pop(name, None)


# --- demo and D2L ---------------------------------------------------------------------------


def put_aside() -> None:
    """Look at no file any more; it stays on the server."""
    for name in _NAMED:
        _forget(name)


def leave_for_dataset(dataset_id: str) -> None:
    """Show a dataset instead of the file that was being looked at."""
    put_aside()
    state.show_dataset(dataset_id)


def follow_context(dataset_id: str) -> None:
    """Put the file aside when another dataset is chosen at the top of the page."""
    before = st.session_state.get(_LOOKED_AT)
    st.session_state[_LOOKED_AT] = dataset_id
    if before not in (None, dataset_id):
        put_aside()


def _fetch_d2l(archive: Path | None = None) -> None:
    payload = {} if archive is None else {"archive": str(archive)}
    st.query_params[FETCH] = state.store().queue_job("fetch_d2l", payload)


def _show_fetch() -> None:
    job_id = st.query_params.get(FETCH)
    if not job_id:
        return
    try:
        job = state.store().job(job_id)
    except DeepFMError as error:
        show_error(error)
        return
    if not job.ended:
        wait_for_job(job_id, "Fetching the D2L ctr set", key="fetch", on_end=_fetched)
        return
    if job.state == "finished":
        _fetched(job)
        st.rerun()
    show_job_end(job, "Fetching the D2L ctr set")


def _fetched(job: "JobRow") -> None:
    if job.state == "finished" and job.result:
        leave_for_dataset(str(job.result["fingerprint"]))


# --- a folder on the server -------------------------------------------------------------------


def server_files(folder: Path) -> list[str]:
    """Data files in a folder and below it, as paths relative to it; links that lead out are not."""
    if not folder.is_dir():
        return []
    root = folder.resolve()
    found = (
        path.relative_to(root).as_posix()
        for path in sorted(root.rglob("*"))
        if path.name.lower().endswith(SUFFIXES)
        and path.is_file()
        and path.resolve().is_relative_to(root)
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    return [name for name, _ in zip(found, range(MOST_FILES), strict=False)]


def server_file(folder: Path, name: str) -> Path:
    """One of these files; DataError for any other path, such as one that leads out."""
    if name not in server_files(folder):
        raise DataError("This file is not in the server's data folder. Choose another one.")
    return folder.resolve() / name


def _server_folder(settings: Settings) -> None:
    folder = Path(settings.data_folder).expanduser()
    with st.popover("Open a folder on the server", icon=":material/folder_open:"):
        names = server_files(folder)
        if not names:
            st.caption(f"There are no data files in {plain(folder)}.")
            return
        chosen = st.selectbox("File", names, index=None, placeholder="Choose a file")
        test = st.selectbox("Test file (optional)", names, index=None, placeholder="None")
        if st.button("Open", type="primary", disabled=chosen is None) and chosen:
            try:
                path = server_file(folder, chosen)
            except DeepFMError as error:
                show_error(error)
                return
            _forget(TEST)
            if test is not None:
                st.query_params[TEST] = f"{_SERVER}/{test}"
            inspect_file(path)

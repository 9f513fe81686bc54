"""A run as one file: what goes out comes in, and nothing else ever does."""

import dataclasses
import json
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deepfm.config import ModelConfig, Settings, TrainConfig
from deepfm.errors import DeepFMError, LimitError, RunError
from deepfm.evaluation.baselines import BASELINES_FILE
from deepfm.events import Epoch, Event, Failed, Finished, Metrics, Notice, Point, Started
from deepfm.runs.store import RUN_ENDS, NewRun, Store, archive
from deepfm.trained.run_folder import FILES

RESULT = Finished(2, 2, 2.0, 1e5, 2e5, "test", 10, 0.68, 0.5, 0.49, 0.8, 0.225)
METRICS = Metrics(0.5, 0.8, 0.7, 10)
EVENTS: list[Event] = [
    Started("DeepFM", 100, 10, 10, 2, 2, 5_600, "CPU, 2 threads", "plain"),
    Point(0.5, 0.5, 1e5, METRICS, None, None, ((0.1, 0.2, 0.3),)),
    Epoch(1, 1.0, 1e5, 2e5, METRICS, METRICS, METRICS, True, None, ()),
    Notice("idle", "The network has learned almost nothing yet."),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "here") as store:
        yield store


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "there", settings=Settings(max_unpacked_mb=1)) as store:
        yield store


def ended(store: Store, state: Any = "finished") -> str:
    """A run with notes, tags, events and a folder."""
    run = NewRun(
        "mine “größer”", Path("/data/demo"), "demo", ModelConfig(num_factors=3).to_dict(),
        TrainConfig(seed=4).to_dict(), [{"site": "news", "hour": None}], "browser:ann", "f00",
    )  # fmt: skip
    run_id = store.submit_run(run, anew=True).run
    claimed = store.claim_run("w", {"python": "3.11", "packages": {"torch": "2"}})
    assert claimed is not None and claimed.id == run_id
    store.append(run_id, EVENTS)
    result = dataclasses.asdict(RESULT) if state == "finished" else None
    store.finish_run(run_id, state, "why it ended", result, events=[RESULT, Failed("x")])
    store.note_run(run_id, "first line\nsecond line")
    store.tag_run(run_id, ["best", "größe"])
    folder = store.run_folder(run_id)
    folder.mkdir(parents=True)
    for name in (*FILES, "checkpoint.safetensors", "checkpoint.json", "something else"):
        (folder / name).write_bytes(f"content of {name}".encode() * 50)
    return run_id


@pytest.fixture
def exported(store: Store, tmp_path: Path) -> Path:
    return store.export_run(ended(store), tmp_path / "run.zip")


def test_the_files_that_go_with_a_run_are_those_of_a_run_folder() -> None:
    assert archive.FOLDER_FILES[: len(FILES)] == FILES
    assert BASELINES_FILE in archive.FOLDER_FILES


@pytest.mark.parametrize("state", RUN_ENDS)
def test_a_run_comes_in_as_it_went_out_under_a_new_id(
    store: Store, other: Store, tmp_path: Path, state: Any
) -> None:
    run_id = ended(store, state)
    before = store.run(run_id)
    new_id = other.import_run(store.export_run(run_id, tmp_path / "run.zip"), owner="browser:ben")
    after = other.run(new_id)
    assert new_id != run_id == after.imported
    same = (
        "name", "state", "dataset_name", "fingerprint", "config_key", "model", "train", "pinned",
        "started", "finished", "message", "result", "epoch", "auc", "last_event", "notes", "tags",
        "attempt", "seconds", "examples_per_second", "curve",
    )  # fmt: skip
    assert {n: getattr(after, n) for n in same} == {n: getattr(before, n) for n in same}
    assert (after.owner, after.group, after.wanted) == ("browser:ben", None, "train")
    assert after.versions == {**(before.versions or {}), "started_by": before.owner_name}
    assert other.events(new_id) == store.events(run_id)
    assert after.dataset_folder == other.home / "datasets" / "f00"
    files = {path.name: path.read_bytes() for path in after.folder.iterdir()}
    assert files == {name: (before.folder / name).read_bytes() for name in FILES}
    assert [path.name for path in (other.home / "runs").iterdir()] == [new_id]


def test_a_run_may_come_in_twice_and_where_it_was_made(store: Store, exported: Path) -> None:
    ids = [store.import_run(exported) for _ in range(2)]
    assert len({*ids, store.run(ids[0]).imported}) == 3
    store.delete_runs(ids)
    assert len(store.runs()) == 1


def test_a_run_that_is_here_already_is_known_by_whatever_way_it_came(
    store: Store, other: Store, exported: Path, tmp_path: Path
) -> None:
    (made,) = store.runs()
    assert other.here_already(exported) is None
    assert store.here_already(exported) == made.id, "where it was made"
    brought = other.import_run(exported)
    assert other.here_already(exported) == brought, "where it was brought"
    other.rename_run(brought, "another name")
    back = other.export_run(brought, tmp_path / "back.zip")
    assert store.here_already(back) == made.id, "there and back"
    twin = ended(store)
    assert store.here_already(store.export_run(twin, tmp_path / "twin.zip")) == twin


def test_a_run_that_went_on_since_is_another_one(store: Store, exported: Path) -> None:
    (made,) = store.runs()
    with store._database.writing() as connection:
        connection.execute("UPDATE runs SET attempt = 2")
    assert store.here_already(exported) is None
    store.delete_runs([made.id])
    assert store.here_already(exported) is None


def test_a_run_that_never_began_is_known_by_its_id_alone(store: Store, tmp_path: Path) -> None:
    files = []
    for name in ("x", "y"):
        run_id = store.queue_run(name, "/d", "d", {}, {}, fingerprint="f")
        store.request_stop(run_id)
        files.append((run_id, store.export_run(run_id, tmp_path / f"{name}.zip")))
    assert [store.here_already(file) for _, file in files] == [run_id for run_id, _ in files]


def test_who_trained_a_run_is_told_however_often_it_is_brought_elsewhere(
    store: Store, other: Store, tmp_path: Path
) -> None:
    store.name_person("browser:ann", "Ann")
    run_id = ended(store)
    first = other.import_run(store.export_run(run_id, tmp_path / "1.zip"), owner="browser:ben")
    again = store.import_run(other.export_run(first, tmp_path / "2.zip"), owner="browser:cat")
    assert [each.author for each in (store.run(run_id), other.run(first), store.run(again))] == [
        "Ann"
    ] * 3
    assert other.run(first).owner_name not in ("", "Ann")


def test_an_imported_run_is_not_joined_and_not_pruned_for_its_age(
    store: Store, other: Store, tmp_path: Path
) -> None:
    run_id = ended(store)
    store.note_run(run_id, "")
    store.tag_run(run_id, [])
    with store._database.writing() as connection:
        connection.execute("UPDATE runs SET finished = 1.0, created = 1.0")
    new_id = other.import_run(store.export_run(run_id, tmp_path / "run.zip"))
    row = other.run(new_id)
    again = NewRun(
        "x", row.dataset_folder, row.dataset_name, row.model, row.train,
        fingerprint=row.fingerprint,
    )  # fmt: skip
    assert again.config_key == row.config_key and not other.submit_run(again).joined
    assert other.prune(1) == [] and store.prune(1) == [row.name]


def test_a_run_without_a_folder_goes_out_and_in(store: Store, other: Store, tmp_path: Path) -> None:
    run_id = store.queue_run("x", "/d", "d", {}, {}, fingerprint="f")
    with pytest.raises(RunError, match="is queued; only one that has ended is exported"):
        store.export_run(run_id, tmp_path / "run.zip")
    store.request_stop(run_id)
    new_id = other.import_run(store.export_run(run_id, tmp_path / "run.zip"))
    assert other.run(new_id).message == "Stopped before it began."
    assert not other.run(new_id).folder.exists()


def test_an_export_that_cannot_be_written_leaves_nothing(store: Store, tmp_path: Path) -> None:
    run_id = ended(store)
    with pytest.raises(RunError, match="cannot be written: No such file or directory"):
        store.export_run(run_id, tmp_path / "none" / "run.zip")
    (tmp_path / "taken").mkdir()
    with pytest.raises(RunError, match="cannot be written"):
        store.export_run(run_id, tmp_path / "taken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "taken"]


# --- hostile files --------------------------------------------------------------------------


def rewritten(
    file: Path, change: Callable[[zipfile.ZipInfo, bytes], tuple[zipfile.ZipInfo, bytes] | None]
) -> Path:
    """A copy of the file with each member changed, or left out where None comes back."""
    target = file.with_name("changed.zip")
    with zipfile.ZipFile(file) as before, zipfile.ZipFile(target, "w") as after:
        for member in before.infolist():
            changed = change(member, before.read(member))
            if changed is not None:
                after.writestr(*changed, compress_type=zipfile.ZIP_DEFLATED)
    return target


def with_extra(file: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    target = file.with_name("extra.zip")
    target.write_bytes(file.read_bytes())
    with zipfile.ZipFile(target, "a") as archive_file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that is there twice
        for name, content in members:
            archive_file.writestr(name, content)
    return target


def refused(store: Store, file: Path, match: str, kind: type[DeepFMError] = RunError) -> None:
    """Importing it is one sentence, and leaves nothing behind."""
    before = sorted(path for path in store.home.rglob("*") if "lab.sqlite" not in path.name)
    with pytest.raises(kind, match=match):
        store.import_run(file)
    after = sorted(path for path in store.home.rglob("*") if "lab.sqlite" not in path.name)
    assert [path for path in after if path.name != "runs"] == before
    assert store.runs() == []


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "run/../../evil", "/etc/evil", "..\\evil", "C:\\evil", "run/", "run/x",
        "run/config.json/x", "RUN.JSON", "run.json\x00.txt", "run/model.pkl", "model.safetensors",
        "run/./config.json", "run//config.json", "ｒun.json",
    ],
)  # fmt: skip
def test_any_other_name_is_refused(other: Store, exported: Path, tmp_path: Path, name: str) -> None:
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    refused(other, with_extra(exported, (info, b"evil")), "does not have|twice")
    assert not (tmp_path / "evil").exists() and not (tmp_path.parent / "evil").exists()


def test_a_name_that_is_there_twice_is_refused(other: Store, exported: Path) -> None:
    file = with_extra(exported, ("run/config.json", b"{}"))
    refused(other, file, r"holds run/config.json twice")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR])
def test_what_is_no_plain_file_is_refused(other: Store, exported: Path, kind: int) -> None:
    def change(member: zipfile.ZipInfo, content: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        if member.filename == "run/model.safetensors":
            member.external_attr = (kind | 0o777) << 16
            content = b"/etc/passwd"
        return member, content

    refused(other, rewritten(exported, change), "model.safetensors in .* not a plain file")


def test_what_is_encrypted_is_refused(other: Store, exported: Path) -> None:
    content = bytearray(exported.read_bytes())
    for start in (b"PK\x01\x02", b"PK\x03\x04"):
        place = content.find(start)
        flags = place + (8 if start == b"PK\x01\x02" else 6)
        content[flags] |= 1
    exported.write_bytes(content)
    refused(other, exported, "encrypted")


def test_a_zip_bomb_is_refused_before_anything_is_unpacked(other: Store, exported: Path) -> None:
    def change(member: zipfile.ZipInfo, content: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        return member, b"0" * 5_000_000 if member.filename == "run/scores.parquet" else content

    file = rewritten(exported, change)
    assert file.stat().st_size < 50_000
    refused(other, file, r"5.*MB once unpacked, .* \(DEEPFM_MAX_UNPACKED_MB\)", LimitError)


def test_a_member_longer_than_it_says_is_refused(other: Store, exported: Path) -> None:
    def change(member: zipfile.ZipInfo, content: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        return member, b"0" * 5_000_000 if member.filename == "run/scores.parquet" else content

    file = rewritten(exported, change)
    content = bytearray(file.read_bytes())
    # The uncompressed size, in the directory and before the member itself, made small.
    true, said = (5_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")
    assert content.count(true) == 2
    file.write_bytes(content.replace(true, said))
    refused(other, file, "scores.parquet in .* is damaged")


@pytest.mark.parametrize("missing", ["run.json", "events.jsonl"])
def test_a_zip_without_a_run_in_it_is_refused(other: Store, exported: Path, missing: str) -> None:
    file = rewritten(exported, lambda m, c: None if m.filename == missing else (m, c))
    refused(other, file, f"is no exported run: it lacks {missing}")


def test_a_file_that_is_no_zip_is_refused(other: Store, exported: Path, tmp_path: Path) -> None:
    whole = exported.read_bytes()
    for content in (b"", b"PK", b"\x00" * 5_000, whole[: len(whole) // 2], whole[100:]):
        (tmp_path / "bad.zip").write_bytes(content)
        refused(other, tmp_path / "bad.zip", "bad.zip")
    refused(other, tmp_path / "none.zip", "There is no file")
    refused(other, tmp_path, "is no exported run")


def test_a_changed_byte_anywhere_is_refused_or_harmless(
    other: Store, exported: Path, tmp_path: Path
) -> None:
    whole = exported.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        content = bytearray(whole)
        content[place] ^= 0xFF
        (tmp_path / "bad.zip").write_bytes(content)
        try:
            other.import_run(tmp_path / "bad.zip")
        except DeepFMError:
            continue
    names = {path.name for run in other.runs() for path in run.folder.iterdir()}
    assert names <= set(FILES)
    assert {path.name for path in (other.home / "runs").iterdir()} == {r.id for r in other.runs()}


BAD_VALUES: list[tuple[str, Any]] = [
    ("state", "training"), ("state", "queued"), ("state", 1), ("id", "../../etc"), ("id", ""),
    ("name", ""), ("name", 5), ("name", "x" * 300), ("name", "\ud800"), ("fingerprint", "../x"),
    ("fingerprint", "a" * 100), ("model", {"num_factors": -1}), ("model", {"class": "os.system"}),
    ("model", []), ("train", {"epochs": "many"}), ("pinned", [1]), ("pinned", [{"a": 1}]),
    ("created", -1), ("created", 1e300), ("started", "now"), ("finished", 10**400),
    ("auc", True), ("auc", "0.7"), ("auc", [0.7]), ("epoch", None), ("result", [1]),
    ("result", {"auc": "high"}), ("result", {"unknown": 1}), ("notes", None),
    ("notes", "x" * 30_000), ("tags", [1]), ("tags", ["x" * 99]), ("tags", [""]),
    ("attempt", 1.5), ("versions", "3.11"), ("seconds", 1e16), ("version", 2), ("version", None),
    ("unknown", 1), ("dataset_name", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_a_value_that_no_run_has_is_refused(
    other: Store, exported: Path, name: str, value: Any
) -> None:
    def change(member: zipfile.ZipInfo, content: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        if member.filename == "run.json":
            content = json.dumps({**json.loads(content), name: value}).encode()
        return member, content

    refused(other, rewritten(exported, change), r"run\.json in changed\.zip is damaged: ")


@pytest.mark.parametrize("name", sorted(archive._TYPES))
def test_a_missing_value_is_refused(other: Store, exported: Path, name: str) -> None:
    def change(member: zipfile.ZipInfo, content: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        if member.filename == "run.json":
            values = json.loads(content)
            del values[name]
            content = json.dumps(values).encode()
        return member, content

    refused(other, rewritten(exported, change), f"'{name}' is missing or unknown")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", '{"a": NaN}', "\x00", "[" * 100_000, '"text"', "\xff\xfe"],
)  # fmt: skip
def test_damaged_json_is_refused(other: Store, exported: Path, text: str) -> None:
    def change(member: zipfile.ZipInfo, content: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        return member, text.encode("latin-1") if member.filename == "run.json" else content

    refused(other, rewritten(exported, change), r"run\.json in changed\.zip is damaged: ")


@pytest.mark.parametrize(
    "line",
    [
        "{}", "[]", "x", '{"event": "Point"}', '{"event": "os.system", "message": "x"}',
        '{"event": "Failed", "message": 5}', '{"event": "Failed", "message": "\\ud800"}',
        '{"event": "Failed", "message": "x", "more": 1}',
        '{"event": "Resumed", "attempt": 1.5, "epoch": 1, "seconds": 1}',
        '{"event": "Progress", "stage": "s", "done": "far", "total": 1, "unit": "u", "detail": ""}',
        '{"event": "Progress", "stage": "s", "done": 1, "total": 1' + "0" * 400 + ', "unit": "u"}',
    ],
)  # fmt: skip
def test_an_event_that_no_run_reports_is_refused_with_its_line(
    other: Store, exported: Path, line: str
) -> None:
    def change(member: zipfile.ZipInfo, content: bytes) -> tuple[zipfile.ZipInfo, bytes]:
        if member.filename == "events.jsonl":
            content = content.splitlines()[0] + b"\n" + line.encode() + b"\n"
        return member, content

    refused(other, rewritten(exported, change), "line 2 of events.jsonl in .* is damaged")


def test_nothing_comes_in_where_there_is_no_room(exported: Path, tmp_path: Path) -> None:
    home = tmp_path / "small"
    with Store.open(home, settings=Settings(max_disk_mb=1)) as store:
        (home / "uploads").mkdir()
        (home / "uploads" / "x").write_bytes(b"0" * 990_000)
        refused(store, exported, "DEEPFM_MAX_DISK_MB", LimitError)

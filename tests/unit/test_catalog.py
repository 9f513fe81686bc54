import hashlib
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from deepfm.data import catalog
from deepfm.data.catalog import check_d2l, fetch_d2l, is_d2l_zip, prepare_d2l
from deepfm.data.synthetic import write_d2l_zip
from deepfm.errors import Cancelled, DataError, DownloadError, LimitError
from deepfm.events import Event, Notice, Progress

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """A web server on the loopback address: the address of its ctr.zip."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False

    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_address[1]}/ctr.zip"
        finally:
            running.shutdown()
            thread.join()


def serving(content: bytes, *, length: int | None = None, pause: float = 0.0) -> Answer:
    """Answer with this content, its length as said, in two halves with a pause between."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content) if length is None else length))
        request.end_headers()
        half = len(content) // 2
        request.wfile.write(content[:half])
        time.sleep(pause)
        request.wfile.write(content[half:])

    return answer


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("d2l") / "ctr.zip"
    write_d2l_zip(path)
    return path


def sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def assert_offers_the_ways_on(message: str) -> None:
    assert "upload it" in message and "python -m deepfm prepare" in message and "`" not in message
    assert "bundled demo" in message


def test_set_is_fetched_checked_prepared_as_the_deck_does_and_kept(
    archive: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    with server(serving(archive.read_bytes())) as url:
        dataset = fetch_d2l(tmp_path, url=url, sha1=sha1(archive), on_event=events.append)
    assert {name: len(part) for name, part in dataset.parts.items()} == {
        "train": 15_000, "test": 3_000,
    }  # fmt: skip
    assert dataset.name == "D2L ctr" and len(dataset.fields) == 34
    assert (dataset.prepare.min_count, dataset.prepare.validation) == (4, 0.0)
    fetched = [e for e in events if isinstance(e, Progress) and e.stage == "Fetching ctr.zip"]
    assert fetched[-1].done == fetched[-1].total == archive.stat().st_size
    again = fetch_d2l(tmp_path, url=url, sha1=sha1(archive))
    assert again.folder == dataset.folder
    assert [file.name for file in (tmp_path / "downloads").iterdir()] == ["ctr.zip"]


def test_damaged_copy_is_fetched_again(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "ctr.zip").write_bytes(b"half a file")
    with server(serving(archive.read_bytes())) as url:
        fetch_d2l(tmp_path, url=url, sha1=sha1(archive))
    assert sha1(tmp_path / "downloads" / "ctr.zip") == sha1(archive)


def test_content_with_another_checksum_is_refused(archive: Path, tmp_path: Path) -> None:
    with (
        server(serving(archive.read_bytes())) as url,
        pytest.raises(DownloadError, match=f"SHA-1 {sha1(archive)}, expected {'0' * 40}") as error,
    ):
        fetch_d2l(tmp_path, url=url, sha1="0" * 40)
    assert_offers_the_ways_on(str(error.value))
    assert not list((tmp_path / "downloads").iterdir())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda request: request.send_error(404), "the server answered 404"),
        (lambda request: request.send_error(503), "the server answered 503"),
        (serving(b"a few bytes", length=5000), "connection broke after 11 of 5,000 bytes"),
        (serving(b"a few bytes", pause=0.8), "did not answer in time"),
        (lambda request: request.wfile.write(b"nonsense\r\n\r\n"), "nonsense"),
        (lambda request: None, "closed connection without response"),
    ],
)
def test_broken_connection_offers_the_ways_on(tmp_path: Path, answer: Answer, reason: str) -> None:
    with server(answer) as url, pytest.raises(DownloadError, match=reason) as error:
        fetch_d2l(tmp_path, url=url, timeout_s=0.4)
    assert_offers_the_ways_on(str(error.value))
    assert url in str(error.value)
    assert not list((tmp_path / "downloads").iterdir())


def test_no_network_offers_the_ways_on(tmp_path: Path) -> None:
    with server(serving(b"")) as url:
        pass
    with pytest.raises(DownloadError, match="refused") as error:
        fetch_d2l(tmp_path, url=url)
    assert_offers_the_ways_on(str(error.value))


def test_cancelled_fetch_leaves_nothing(archive: Path, tmp_path: Path) -> None:
    with server(serving(archive.read_bytes())) as url, pytest.raises(Cancelled, match="fetching"):
        fetch_d2l(tmp_path, url=url, sha1=sha1(archive), cancelled=lambda: True)
    assert not list((tmp_path / "downloads").iterdir())


def test_more_than_the_limit_is_not_received(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPFM_MAX_UPLOAD_MB", "1")
    with (
        server(serving(bytes(3_000_000))) as url,
        pytest.raises(DownloadError, match="more than 1,000,000 bytes came"),
    ):
        fetch_d2l(tmp_path, url=url)


def test_archive_given_by_hand_gives_the_same_dataset(archive: Path, tmp_path: Path) -> None:
    dataset = prepare_d2l(archive, tmp_path)
    out = prepare_d2l(archive, tmp_path, out=tmp_path / "out")
    assert out.fingerprint == dataset.fingerprint and out.folder == tmp_path / "out"


def test_archive_that_is_no_d2l_set_is_refused(archive: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as packed:
        packed.writestr("ctr/train.csv", "1\t2\n")
    with pytest.raises(DataError, match=r"other\.zip is not D2L's ctr\.zip"):
        prepare_d2l(other, tmp_path)
    broken = tmp_path / "broken.zip"
    broken.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"broken\.zip cannot be unpacked"):
        prepare_d2l(broken, tmp_path)
    with pytest.raises(DataError, match="There is no file"):
        prepare_d2l(tmp_path / "nothing.zip", tmp_path)
    assert is_d2l_zip(archive) and not is_d2l_zip(other) and not is_d2l_zip(broken)
    assert not is_d2l_zip(tmp_path / "nothing.zip")


def test_damaged_bytes_in_the_archive_are_refused(archive: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "ctr.zip"
    content = bytearray(archive.read_bytes())
    content[2000:2040] = bytes(40)
    damaged.write_bytes(content)
    with pytest.raises(DataError, match="cannot be unpacked"):
        prepare_d2l(damaged, tmp_path)


def test_names_in_the_archive_lead_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "ctr.zip"
    row = "1\t" + "\t".join(map(str, range(34))) + "\n"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("../../train.csv", row * 50 + row.replace("1\t", "0\t", 1) * 50)
        packed.writestr("/test.csv", row)
        packed.writestr("__MACOSX/._train.csv", "")
        packed.writestr("__MACOSX/train.csv", "")
    dataset = prepare_d2l(path, tmp_path / "home")
    assert len(dataset.parts["train"]) == 100
    assert sorted(file.name for file in tmp_path.iterdir()) == ["ctr.zip", "home"]


def test_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPFM_MAX_UNPACKED_MB", "1")
    path = tmp_path / "ctr.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("ctr/train.csv", bytes(3_000_000))
        packed.writestr("ctr/test.csv", "")
    with pytest.raises(LimitError, match="unpacks to 3 MB; this server takes 1 MB"):
        prepare_d2l(path, tmp_path)


def test_first_row_of_the_real_set_is_checked(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With this archive taken for the real one, its first row is not what is known of it."""
    monkeypatch.setattr(catalog, "D2L_SHA1", sha1(archive))
    events: list[Event] = []
    prepare_d2l(archive, tmp_path, on_event=events.append)
    (notice,) = [event for event in events if isinstance(event, Notice)]
    assert notice.kind == "self-check" and "field_1 is " in notice.text
    assert "expected 143" in notice.text
    with pytest.warns(UserWarning, match="encoded in another way than known"):
        dataset = prepare_d2l(archive, tmp_path)
    row = (*np.array(dataset.parts["train"].ids[0]).tolist(),)
    monkeypatch.setattr(catalog, "_D2L_FIRST_ROW", row)
    label = int(dataset.parts["train"].labels[0])
    difference = check_d2l(dataset)
    assert difference is None if label == 1 else "the label is 0" in str(difference)


def test_other_settings_and_other_archives_are_not_compared(archive: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    prepare_d2l(archive, tmp_path, on_event=events.append)
    assert not [event for event in events if isinstance(event, Notice)]
    config = catalog.D2L_CONFIG.with_values(min_count=1)
    assert check_d2l(prepare_d2l(archive, tmp_path, config=config)) is None
    assert len(catalog._D2L_FIRST_ROW) == 34

"""The upload route on a real server: what arrives is whole, what may not arrive leaves nothing."""

import hashlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import uvicorn
from starlette.applications import Starlette

from deepfm.config import Settings
from deepfm.errors import DataError
from deepfm.ui.upload import find_upload, safe_name, ticket, upload_routes, uploads_size

LIMIT_MB = 3


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DEEPFM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DEEPFM_MAX_UPLOAD_MB", str(LIMIT_MB))
    return Settings.from_environment()


@pytest.fixture
def port(settings: Settings) -> Iterator[int]:
    app = Starlette(routes=upload_routes())
    config = uvicorn.Config(app, port=0, log_level="error", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


def page_headers(settings: Settings, port: int, name: str = "log.csv") -> dict[str, str]:
    return {
        "Origin": f"http://127.0.0.1:{port}",
        "X-DeepFM-Ticket": ticket(settings),
        "X-File-Name": quote(name),
    }


def post(port: int, body: object, headers: dict[str, str]) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", "/upload", body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def kept_files(settings: Settings) -> list[Path]:
    folder = settings.home_folder / "uploads"
    return [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]


def test_a_file_arrives_byte_for_byte_under_its_name(settings, port):
    body = bytes(range(256)) * 8_000
    status, reply = post(port, body, page_headers(settings, port, "März log.csv.gz"))
    assert status == 200
    upload = find_upload(settings, reply["id"], reply["name"])
    assert upload.path.read_bytes() == body
    assert (upload.name, upload.size) == ("März log.csv.gz", len(body))
    assert upload.id == hashlib.sha256(body).hexdigest()[:32]


def test_a_body_of_unknown_length_arrives_too(settings, port):
    status, reply = post(port, iter([b"label,a\n"] * 1000), page_headers(settings, port))
    assert (status, reply["size"]) == (200, 8_000)


def test_the_same_file_twice_is_kept_once(settings, port):
    first, second = (post(port, b"1,a\n", page_headers(settings, port))[1] for _ in range(2))
    assert first == second
    assert len(kept_files(settings)) == 1


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_past_the_limit_is_refused_while_it_streams(settings, port, announced):
    blocks = [b"x" * 500_000] * 7
    headers = page_headers(settings, port)
    try:
        status, reply = post(port, b"".join(blocks) if announced else iter(blocks), headers)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server closed before all was sent, as it should
    else:
        assert status == 413
        assert "larger than the 3.0 MB" in str(reply["error"])
    assert kept_files(settings) == []


def test_a_file_just_at_the_limit_is_taken(settings, port):
    status, _ = post(port, b"x" * LIMIT_MB * 1_000_000, page_headers(settings, port))
    assert status == 200


def test_an_empty_file_is_refused_with_a_sentence(settings, port):
    status, reply = post(port, b"", page_headers(settings, port, "nothing.csv"))
    assert status == 400
    assert reply["error"] == "nothing.csv is empty. Choose a file with at least a few rows."
    assert kept_files(settings) == []


def test_a_broken_upload_leaves_nothing(settings, port):
    headers = "".join(f"{k}: {v}\r\n" for k, v in page_headers(settings, port).items())
    with socket.create_connection(("127.0.0.1", port)) as raw:
        head = f"POST /upload HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 2000000\r\n"
        raw.sendall(f"{head}{headers}\r\n".encode() + b"x" * 1_000_000)
        time.sleep(0.2)
    deadline = time.monotonic() + 5
    while kept_files(settings) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert kept_files(settings) == []


@pytest.mark.parametrize(
    "change",
    [
        {"X-DeepFM-Ticket": "0" * 64},
        {"X-DeepFM-Ticket": "nötig".encode().decode("latin-1")},
        {"X-DeepFM-Ticket": ""},
        {"Origin": "http://elsewhere.example"},
        {"Origin": ""},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_request_from_elsewhere_is_refused(settings, port, change):
    status, reply = post(port, b"1,a\n", {**page_headers(settings, port), **change})
    assert status == 403
    assert "Reload it" in str(reply["error"])
    assert kept_files(settings) == []


def test_yesterdays_page_may_still_upload(settings, port):
    headers = page_headers(settings, port) | {"X-DeepFM-Ticket": ticket(settings, days_ago=1)}
    assert post(port, b"1,a\n", headers)[0] == 200
    headers["X-DeepFM-Ticket"] = ticket(settings, days_ago=2)
    assert post(port, b"1,a\n", headers)[0] == 403


def test_the_key_of_tickets_is_for_the_server_alone(settings):
    first = ticket(settings)
    key = settings.home_folder / "uploads" / ".key"
    assert key.stat().st_mode & 0o077 == 0
    assert ticket(settings) == first


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("log.csv", "log.csv"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/", "upload"),
        ("", "upload"),
        ("...", "upload"),
        (".hidden.csv", "hidden.csv"),
        ("a\x00b\nc.tsv", "a_b_c.tsv"),
        ("<img src=x onerror=alert(1)>.csv", "_img src=x onerror=alert(1)_.csv"),
        ("日本語 ログ.parquet", "日本語 ログ.parquet"),
    ],
)
def test_names_are_made_harmless(given, kept):
    assert safe_name(given) == kept


def test_a_long_name_keeps_its_endings():
    name = safe_name("x" * 300 + ".csv.gz")
    assert len(name) == 100
    assert name.endswith(".csv.gz")


def test_a_name_is_stable_once_safe():
    for name in ("a  .csv", "x" * 49 + " " * 60 + "y.csv", ". .a"):
        assert safe_name(safe_name(name)) == safe_name(name)


@pytest.mark.parametrize("upload_id", ["..", "../uploads", "a" * 32, "", "A" * 32])
def test_only_uploads_are_found(settings, upload_id):
    outside = settings.home_folder / "secret.csv"
    outside.parent.mkdir(parents=True, exist_ok=True)
    outside.write_text("1,a\n")
    with pytest.raises(DataError, match="Drop it again"):
        find_upload(settings, upload_id, "secret.csv")


def test_the_size_of_what_is_kept_counts_files_and_nothing_else(settings: Settings) -> None:
    assert uploads_size(settings) == 0
    ticket(settings)  # makes the key, which is no upload
    for place, size in (("a" * 32, 10), ("b" * 32, 5)):
        folder = settings.home_folder / "uploads" / place
        folder.mkdir()
        (folder / "log.csv").write_bytes(b"x" * size)
    assert uploads_size(settings) == 15


def test_a_file_for_which_there_is_no_room_is_refused_with_the_limit(settings, port, monkeypatch):
    monkeypatch.setenv("DEEPFM_MAX_DISK_MB", "1")
    status, reply = post(port, b"1,a\n" * 300_000, page_headers(settings, port))
    assert status == 413 and "DEEPFM_MAX_DISK_MB" in str(reply["error"])
    assert kept_files(settings) == []

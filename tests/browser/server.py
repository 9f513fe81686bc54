"""The app in a process of its own, on a free port, with a home of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deepfm.runs.worker import stop_worker

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Server:
    """A running app: its address, the folder of its state, its log, its process."""

    url: str
    home: Path
    log: Path
    process: subprocess.Popen[bytes]


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    """The app as `start` runs it, on a free loopback port; it and its worker end with the block."""
    home.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    log = home.parent / f"{home.name}-{port}.log"
    command = [sys.executable, "-m", "streamlit", "run", "app.py"]
    command += ["--server.port", str(port), "--server.headless", "true"]
    environment = {**os.environ, "DEEPFM_HOME": str(home)}
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_healthy(url, process, log)
        yield Server(url, home, log, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        stop_worker(home)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the server has ended:\n{log.read_text()}"
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer:
                if b'"status":"ok"' in answer.read():
                    return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the server does not answer:\n{log.read_text()}")


def assert_clean_log(server: Server) -> None:
    """Nothing failed on the server's side either."""
    text = server.log.read_text()
    assert "Traceback" not in text, text

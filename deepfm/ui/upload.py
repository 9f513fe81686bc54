"""The body of a POST to a file under home/uploads, streamed to disk with its size watched.

Streamlit's own uploader keeps files in memory and its protection does not reach our routes, so
this one asks for both: a request from our own pages (Origin, Sec-Fetch-Site) and the ticket that
a page of this server gave out. A file is written aside and renamed into a folder named after its
content: a broken upload leaves nothing, the same file twice is kept once.
"""

import datetime
import errno
import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deepfm.charts.palette import format_bytes
from deepfm.config import Settings
from deepfm.errors import DataError, DeepFMError, LimitError
from deepfm.runs.store.disk import refuse_when_full

UPLOAD_PATH: Final = "/upload"
MEGABYTE: Final = 1_000_000
_LONGEST_NAME: Final = 100
_UNSAFE: Final = re.compile(r"[^\w .()+=,@-]")
_ID: Final = re.compile(r"[0-9a-f]{32}")
_BLOCK: Final = 2**20
_PART: Final = ".part"


class RefusedError(DeepFMError):
    """The request does not come from a page of this server."""


@dataclass(frozen=True)
class Upload:
    """One uploaded file: id (32 hex digits of its content's SHA-256), name, size in bytes."""

    id: str
    name: str
    size: int
    path: Path


def safe_name(name: str) -> str:
    """A file name without folders, control signs or leading dots, at most 100 characters.

    The end is kept when it is shortened, since the endings (.csv.gz) say how to read the file.
    """
    name = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    name = _UNSAFE.sub("_", name).strip(" .")
    if len(name) > _LONGEST_NAME:
        name = name[: _LONGEST_NAME // 2] + name[-(_LONGEST_NAME // 2) :]
    return name or "upload"


def uploads_folder(settings: Settings) -> Path:
    """Where uploaded files are kept."""
    return settings.home_folder / "uploads"


def uploads_size(settings: Settings) -> int:
    """Bytes of all uploaded files that are kept."""
    return sum(path.stat().st_size for path in uploads_folder(settings).glob("*/*"))


def find_upload(settings: Settings, upload_id: str, name: str) -> Upload:
    """The upload with this id and name; DataError if there is none (both come from a browser)."""
    path = uploads_folder(settings) / upload_id / safe_name(name)
    if not _ID.fullmatch(upload_id) or name != path.name or not path.is_file():
        raise DataError("This uploaded file is no longer on the server. Drop it again.")
    return Upload(upload_id, name, path.stat().st_size, path)


def upload_limit(settings: Settings) -> int:
    """The most bytes of one file."""
    return settings.max_upload_mb * MEGABYTE


def ticket(settings: Settings, *, days_ago: int = 0) -> str:
    """What a page shows to be allowed an upload; valid today and tomorrow (UTC)."""
    day = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=days_ago)
    return hmac.new(_key(settings), day.isoformat().encode(), hashlib.sha256).hexdigest()


def _key(settings: Settings) -> bytes:
    """The server's secret, made once; kept in the home so that a restart spoils no open page."""
    folder = uploads_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".key"
    if not path.exists():
        fresh = folder / f".key-{secrets.token_hex(8)}"
        fresh.touch(mode=0o600)
        fresh.write_bytes(secrets.token_bytes(32))
        # Only the first of two servers that start together may name the key.
        with suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    return path.read_bytes()


def check_origin(request: Request, settings: Settings) -> None:
    """RefusedError unless the request was made by one of our pages, in this server's address."""
    site = request.headers.get("sec-fetch-site")
    origin = urlsplit(request.headers.get("origin", ""))
    same = site == "same-origin" if site else origin.netloc == request.headers.get("host", "-")
    shown = request.headers.get("x-deepfm-ticket", "").encode()
    valid = [ticket(settings, days_ago=days).encode() for days in (0, 1)]
    if not same or not any(hmac.compare_digest(shown, one) for one in valid):
        raise RefusedError(
            "The server does not know this page any more. Reload it, then try again."
        )


async def save(chunks: AsyncIterator[bytes], name: str, settings: Settings) -> Upload:
    """Write the chunks to disk; LimitError past the size limit, DataError if nothing came."""
    folder = uploads_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{secrets.token_hex(16)}{_PART}"
    try:
        size, digest = await _stream_to(part, chunks, upload_limit(settings))
        if not size:
            raise DataError(f"{name} is empty. Choose a file with at least a few rows.")
        return await to_thread.run_sync(partial(_into_place, part, folder, digest, name, size))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LimitError(
                "The server's disk is full. Delete datasets that are no longer needed, "
                "then drop the file again."
            ) from error
        raise
    finally:
        part.unlink(missing_ok=True)


async def _stream_to(part: Path, chunks: AsyncIterator[bytes], limit: int) -> tuple[int, str]:
    """Size and SHA-256 of what was written; disk and hash work outside the event loop."""
    digest, size, waiting = hashlib.sha256(), 0, bytearray()
    with part.open("xb") as file:

        def write(block: bytes) -> None:
            file.write(block)
            digest.update(block)

        async for chunk in chunks:
            size += len(chunk)
            check_size(size, limit)
            waiting += chunk
            if len(waiting) >= _BLOCK:
                await to_thread.run_sync(write, bytes(waiting))
                waiting.clear()
        await to_thread.run_sync(write, bytes(waiting))
    return size, digest.hexdigest()


def check_size(size: int, limit: int) -> None:
    """LimitError if a file of `size` bytes is larger than this server takes."""
    if size > limit:
        raise LimitError(
            f"The file is larger than the {format_bytes(limit)} this server takes. "
            "Compress it (.gz, .zip, .zst) or bring a part of it."
        )


def _into_place(part: Path, folder: Path, digest: str, name: str, size: int) -> Upload:
    upload = Upload(digest[:32], name, size, folder / digest[:32] / name)
    upload.path.parent.mkdir(exist_ok=True)
    part.replace(upload.path)
    return upload


async def receive(request: Request) -> JSONResponse:
    """POST /upload: the file as the body, its name in X-File-Name; answers id, name and size."""
    settings = Settings.from_environment()
    name = safe_name(unquote(request.headers.get("x-file-name", "")))
    try:
        check_origin(request, settings)
        announced = request.headers.get("content-length", "")
        size = int(announced) if announced.isdecimal() else 0
        check_size(size, upload_limit(settings))
        await to_thread.run_sync(refuse_when_full, settings.home_folder, settings, size)
        upload = await save(request.stream(), name, settings)
    except ClientDisconnect:
        return JSONResponse({"error": "The upload was broken off."}, status_code=400)
    except DeepFMError as error:
        return JSONResponse({"error": str(error)}, status_code=_status(error))
    return JSONResponse({"id": upload.id, "name": upload.name, "size": upload.size})


def _status(error: DeepFMError) -> int:
    return {RefusedError: 403, LimitError: 413}.get(type(error), 400)


def upload_routes() -> list[Route]:
    """What app.py adds to the server."""
    return [Route(UPLOAD_PATH, receive, methods=["POST"])]

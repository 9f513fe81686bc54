"""The application: the frame's script, its routes and what lives as long as the server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from deepfm import __version__
from deepfm.config import Settings
from deepfm.runs.worker import keep_worker
from deepfm.ui.downloads import keep_downloads
from deepfm.ui.late import drop_late_reruns
from deepfm.ui.person import KnowBrowser
from deepfm.ui.plot_code import plot_routes
from deepfm.ui.theme_message import put_theme_together_once
from deepfm.ui.unchanged import AnswerUnchanged
from deepfm.ui.upload import upload_routes
from deepfm.ui.values import values_routes
from deepfm.ui.wakes import wake_once_for_many


async def health(_: Request) -> JSONResponse:
    """Answers when the server does: for a proxy or a supervisor."""
    return JSONResponse({"status": "ok", "version": __version__})


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[dict[str, object]]:
    """Starts the worker, so that it is warm before the first click; it outlives the server."""
    drop_late_reruns()
    keep_downloads()
    wake_once_for_many()
    put_theme_together_once()
    with keep_worker(Settings.from_environment().home_folder):
        yield {}


app = st.App(
    "deepfm/ui/main.py",
    routes=[
        Route("/healthz", health),
        *upload_routes(),
        *plot_routes(),
        *values_routes(),
        Mount("/assets", StaticFiles(directory=str(files("plotly") / "package_data"))),
    ],
    middleware=[Middleware(KnowBrowser), Middleware(AnswerUnchanged)],
    lifespan=lifespan,
)

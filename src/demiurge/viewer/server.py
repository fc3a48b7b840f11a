"""The application: tiles, values, profiles and statistics of a catalogue, and the page."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from demiurge._version import __version__
from demiurge.errors import DemiurgeError
from demiurge.viewer import measure
from demiurge.viewer.catalogue import Catalogue
from demiurge.viewer.kept import KeptTiles
from demiurge.viewer.layers import describe
from demiurge.viewer.styles import ramp_stops
from demiurge.viewer.tiles import factory

#: The built page.
PAGE = Path(__file__).parent / "web" / "dist"
#: Threads that read tiles. Each has its own cache of blocks: more of them decode blocks more often.
_THREADS = max(2, os.cpu_count() or 1)
_Lon = Annotated[float, Query(ge=-180, le=180, allow_inf_nan=False)]
_Lat = Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False)]


def create_app(catalogue: Catalogue, progress: Callable[[], Any] | None = None) -> FastAPI:
    """Return the application that serves a catalogue.

    Parameters
    ----------
    progress
        Returns the state of a running prediction, if one is shown.
    """

    @asynccontextmanager
    async def limited(_app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
        yield

    app = FastAPI(
        title="demiurge view", version=__version__, lifespan=limited,
        docs_url=None, redoc_url=None, openapi_url=None,
    )  # fmt: skip
    app.include_router(factory(catalogue).router)
    if progress is None:
        app.add_middleware(KeptTiles, state=lambda: catalogue.state)
    app.add_exception_handler(DemiurgeError, _sentence)
    _add_queries(app, catalogue, progress)
    _add_files(app, catalogue)
    return app


def _sentence(_request: Any, error: Exception) -> Response:
    return JSONResponse({"detail": str(error)}, status_code=422)


def _add_queries(app: FastAPI, catalogue: Catalogue, progress: Callable[[], Any] | None) -> None:
    @app.get("/api/catalogue")
    def layers() -> dict[str, Any]:
        shown = [describe(one) for one in catalogue.layers.values()]
        reports = [{"key": key, "name": file.name} for key, file in catalogue.reports.items()]
        return {
            "layers": shown, "reports": reports, "notes": catalogue.notes,
            "local": catalogue.local, "version": __version__, "live": progress is not None,
            "ramps": ramp_stops(),
        }  # fmt: skip

    @app.get("/api/layer")
    def layer(key: Annotated[str, Query(max_length=16)]) -> dict[str, Any]:
        return describe(catalogue.find(key))

    @app.get("/api/point")
    def point(lon: _Lon, lat: _Lat) -> dict[str, Any]:
        return measure.point(catalogue, lon, lat)

    @app.get("/api/profile")
    def profile(lon1: _Lon, lat1: _Lat, lon2: _Lon, lat2: _Lat) -> dict[str, Any]:
        return measure.profile(catalogue, (lon1, lat1), (lon2, lat2))

    @app.get("/api/statistics")
    def statistics(
        key: Annotated[str, Query(max_length=16)], west: _Lon, south: _Lat, east: _Lon, north: _Lat
    ) -> dict[str, Any]:
        return measure.statistics(catalogue, key, (west, south, east, north))

    @app.get("/api/progress")
    def state() -> Any:
        return progress() if progress is not None else {"live": False}


def _add_files(app: FastAPI, catalogue: Catalogue) -> None:
    @app.get("/reports/{key}")
    def report(key: str) -> Response:
        file = catalogue.reports.get(key)
        if file is None:
            raise HTTPException(404, "there is no such report")
        media = "text/html" if file.suffix.lower() == ".html" else "application/json"
        # Scripts of a report do not run, and it has no access to the page.
        headers = {"content-security-policy": "sandbox; default-src 'none'; img-src data:; "
                   "style-src 'unsafe-inline'"}  # fmt: skip
        return FileResponse(file, media_type=media, headers=headers)

    if PAGE.is_dir():
        app.mount("/", StaticFiles(directory=PAGE, html=True))

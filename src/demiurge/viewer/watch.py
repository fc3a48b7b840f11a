"""Shows what a command writes while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from demiurge.console import note
from demiurge.paths import PathLike
from demiurge.viewer.live import state_of
from demiurge.viewer.run import serve

#: Seconds between two looks for a checkpoint.
_PAUSE = 0.2


@contextmanager
def watched(inputs: Sequence[PathLike], output: Path) -> Iterator[None]:
    """Serve the inputs and the growing result of what runs inside; then serve until interrupted.

    The page opens as soon as the first rows are planned.
    """
    stop, started = threading.Event(), []

    def start() -> None:
        while not stop.is_set():
            state = state_of(output)
            if state is not None and "raster" in state["kept"]:
                raster = state["kept"]["raster"]
                viewer = serve(inputs, open_browser=True, live=(output, raster))
                started.append(viewer)
                note(f"{viewer.url}  shows finished rows")
                return
            time.sleep(_PAUSE)

    thread = threading.Thread(target=start, daemon=True, name="watch")
    thread.start()
    try:
        yield
    except BaseException:
        stop.set()
        for viewer in started:
            viewer.close()
        raise
    stop.set()
    thread.join(10)
    viewer = started[0] if started else serve([output, *inputs], open_browser=True)
    note(f"{viewer.url}  shows the result (Ctrl-C stops)")
    try:
        viewer.wait()
    finally:
        viewer.close()

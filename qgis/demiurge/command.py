"""The demiurge command: where it is, what it offers, and running it."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

from .specification import Specification, parse

#: Environment variable with the path of the command.
VARIABLE = "DEMIURGE"
#: Variables with which QGIS points at its own Python, GDAL and PROJ; demiurge has others.
_OF_QGIS = (
    "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB",
    "PROJ_DATA", "QT_PLUGIN_PATH",
)  # fmt: skip
#: Seconds for short calls; for an orderly end after a cancellation, and after SIGTERM.
_SHORT, _GRACE, _TERM = 60.0, 20.0, 5.0
_WINDOWS = os.name == "nt"


class NotFoundError(Exception):
    """There is no usable demiurge; the message says what to do."""


class FailedError(Exception):
    """The command failed; the message is demiurge's sentence."""


class CancelledError(Exception):
    """The user cancelled the command."""


def find(setting: str = "") -> str:
    """Return the path of the command: of the setting, else of ``$DEMIURGE``, else on PATH.

    Raises ``NotFoundError``.
    """
    where = "Settings > Options > Processing > Providers > demiurge"
    for source, given in ((f"in {where}", setting), (f"in ${VARIABLE}", os.environ.get(VARIABLE))):
        if given and given.strip():
            path = shutil.which(os.path.expanduser(given.strip()))  # noqa: PTH111 -- a name, too
            if path is None:
                raise NotFoundError(
                    f"'{given.strip()}' ({source}) is no program; set it to the demiurge command."
                )
            return path
    path = shutil.which("demiurge")
    if path is None:
        raise NotFoundError(
            "The program demiurge is not found; install it (pip install demiurge, in an "
            f"environment outside QGIS) and set its path in {where}."
        )
    return path


def environment() -> dict:
    """Return the environment of the command, without what QGIS sets for itself."""
    kept = {name: value for name, value in os.environ.items() if name not in _OF_QGIS}
    return kept | {"DEMIURGE_PROGRESS": "json", "PYTHONUTF8": "1", "COLUMNS": "120"}


def specification(command: str, folder: Path) -> Specification:
    """Return what the command offers; kept in a folder by version.

    Raises ``NotFoundError`` if the command does not run or is too old.
    """
    version = _output(command, "--version").strip()
    kept = folder / f"options-{_key(command, version)}.json"
    try:
        return parse(json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError):
        pass  # not kept yet, or damaged
    text = _output(command, "options", "--json")
    try:
        found = parse(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotFoundError(
            f"{command} ({version}) and this plugin do not fit together ({error}); update both."
        ) from None
    _keep(kept, text)
    return found


def _key(command: str, version: str) -> str:
    """Return a name for the version, the path and the installation of a command."""
    state = Path(command).stat()
    text = f"{version}|{os.path.realpath(command)}|{state.st_mtime_ns}|{state.st_size}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _keep(path: Path, text: str) -> None:
    """Replace the kept descriptions; without a writable folder nothing is kept."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob("options-*.json"):
            old.unlink()
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError:
        pass


def _output(command: str, *words: str) -> str:
    """Return the standard output of a short call."""
    try:
        done = subprocess.run(
            [command, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SHORT,
            env=environment(),
            check=False,
            **_hidden(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotFoundError(f"{command} does not run ({error}); check its installation.") from None
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise NotFoundError(
            f"{command} {' '.join(words)} failed ({lines[-1] if lines else 'no message'}); "
            "update it with: pip install --upgrade demiurge"
        )
    return done.stdout.decode("utf-8", "replace")


def run(
    command: str,
    words: list,
    *,
    outputs: tuple = (),
    event: Callable[[dict], None],
    line: Callable[[str], None],
    cancelled: Callable[[], bool],
    grace: float = _GRACE,
) -> None:
    """Run the command and report its events (dicts) and its other lines as they come.

    A cancellation interrupts the process (SIGINT), kills it if it does not end, and removes what
    the run left next to ``outputs``.

    Raises ``FailedError`` with the sentence of demiurge, or ``CancelledError``.
    """
    leftovers = Leftovers(outputs)
    process = _start(command, words)
    lines: queue.Queue = queue.Queue()
    threads = [_reader(pipe, lines) for pipe in (process.stdout, process.stderr)]
    tail: deque = deque(maxlen=5)
    failure = ""
    try:
        while any(thread.is_alive() for thread in threads) or not lines.empty():
            if cancelled():
                raise CancelledError
            try:
                text = lines.get(timeout=0.1)
            except queue.Empty:
                continue
            found = as_event(text)
            if found is None:
                tail.append(text)
                line(text)
            elif found["event"] == "error":
                failure = str(found.get("text", ""))
            else:
                event(found)
        code = process.wait()
    except BaseException:
        stop(process, grace)
        leftovers.remove()
        raise
    if code != 0:
        last = tail[-1] if tail else "no message"
        raise FailedError(failure or f"demiurge ended with exit code {code}: {last}")


def as_event(text: str) -> dict | None:
    """Return a line as an event; None if it is none."""
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "event" in found else None


def _start(command: str, words: list) -> subprocess.Popen:
    try:
        return subprocess.Popen(
            [command, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            start_new_session=not _WINDOWS,
            **_hidden(),
        )
    except OSError as error:
        raise FailedError(f"{command} does not start ({error}); check its installation.") from None


def _hidden() -> dict[str, Any]:
    """Return arguments for no console window, and a separate group for signals, on Windows."""
    if not _WINDOWS:
        return {}
    return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}


def _reader(pipe: Any, lines: queue.Queue) -> threading.Thread:
    def read() -> None:
        with pipe:
            for raw in pipe:
                lines.put(raw.decode("utf-8", "replace").rstrip("\r\n"))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def stop(process: subprocess.Popen, grace: float) -> None:
    """End a process: interrupt it, and kill it if it does not end by itself."""
    polite = signal.CTRL_BREAK_EVENT if _WINDOWS else signal.SIGINT
    # A program that QGIS was started from may have made its children ignore SIGINT.
    for sign, seconds in ((polite, grace), (signal.SIGTERM, _TERM)):
        if process.poll() is None:
            # OSError: Windows sends no such signal to a process without a console.
            with suppress(OSError, subprocess.TimeoutExpired):
                process.send_signal(sign)
                process.wait(seconds)
    if process.poll() is None:
        if _WINDOWS:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Leftovers:
    """Unfinished files and folders of a run next to its outputs.

    demiurge writes ``.NAME.partial…`` and renames it at the end. An interrupted run removes them
    itself, except the rows from which the same command resumes; a killed one removes nothing.
    What was there before the run stays.
    """

    def __init__(self, outputs: tuple) -> None:
        self.outputs = [Path(path) for path in outputs]
        self.before = set(self._found())

    def _found(self) -> list:
        return [
            entry
            for path in self.outputs
            for entry in path.parent.glob(".*.partial*")
            if entry.name.startswith((f".{path.name}.partial", f".{path.stem}.partial-"))
        ]

    def remove(self) -> None:
        """Remove what the run left."""
        for entry in set(self._found()) - self.before:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()

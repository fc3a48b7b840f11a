"""Training in a separate process, so that several trainings share no state of Lightning."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from demiurge.errors import DemiurgeError, ResourceError

#: Seconds that an interrupted training has to end before it is killed.
_GRACE = 10.0
_INTERRUPTED = 130
#: Variables that an earlier training in this process may have set; each process group sets its own.
_GROUP = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def train_in_process(**job: Any) -> None:
    """Train in a new process and wait for it.

    The process writes to the same terminal. It ends when this process is interrupted or ends.

    Parameters
    ----------
    job
        Arguments of :func:`demiurge.train`.

    Raises
    ------
    UsageError, ConfigError, ResourceError, DataError
        Errors of the training.
    SystemExit
        With the exit code of the process, if it raised no error.
    """
    with TemporaryDirectory(prefix="demiurge-") as folder:
        file = Path(folder) / "job.pickle"
        file.write_bytes(pickle.dumps(job))
        code = _wait(file)
        if code == 0:
            return
        errors = [pickle.loads(path.read_bytes()) for path in Path(folder).glob("*.error")]
    if errors:
        # When one process fails, the others fail too. The cause is one of our own errors.
        raise min(errors, key=lambda error: not isinstance(error, DemiurgeError))
    if code < 0:
        raise ResourceError(
            f"the process that trains {job['output']} was ended by signal {-code}",
            "see whether memory ran out, and set a smaller chips.batch",
        )
    raise SystemExit(code)


def _wait(file: Path) -> int:
    """Run the job and return the exit code of its process. No process is left running."""
    environment = {k: v for k, v in os.environ.items() if k not in _GROUP}
    # Import the same modules as this process, and none from the working folder.
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", __name__, str(file)]
    # In a new session, Ctrl-C does not reach the process; it notices the end of its input.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, env=environment, start_new_session=True
    ) as process:
        try:
            return process.wait()
        finally:
            children = _children(process.pid)
            if process.stdin is not None:
                process.stdin.close()
            try:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(2 * _GRACE)
            finally:
                process.kill()
                for child in children:
                    with suppress(psutil.Error):
                        child.kill()


def _children(number: int) -> list[psutil.Process]:
    """Return all child processes; none if the process has ended."""
    try:
        return list(psutil.Process(number).children(recursive=True))
    except psutil.Error:
        return []


def _end_with_parent() -> None:
    """Interrupt this process when its input ends, because the waiting process has ended."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_GRACE)
    os._exit(_INTERRUPTED)


def _packed(error: Exception) -> bytes:
    """Pickle an error with its traceback. An error that cannot be pickled becomes RuntimeError."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return packed


def _main(file: Path) -> None:
    """Run a job. Lightning starts its other processes with the same command."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        from demiurge.training.fit import train

        train(**pickle.loads(file.read_bytes()))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Exception as error:
        file.with_name(f"{os.getpid()}.error").write_bytes(_packed(error))
        sys.exit(1)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))

"""The ``demiurge`` command: registers the commands and turns errors into one sentence."""

from __future__ import annotations

import os
import signal
import sys
import threading
from errno import EDQUOT, EFBIG, ENOSPC
from typing import Annotated

import typer

from demiurge.cli import (
    bundles,
    check,
    compare,
    demo,
    evaluate,
    export,
    generate,
    imagine,
    plan,
    prepare,
    recipes,
    refine,
    simulate,
    train,
)
from demiurge.errors import DemiurgeError

_INTERRUPTED = 130
#: As shells have it for a process that SIGTERM ended.
_TERMINATED = 143

app = typer.Typer(
    name="demiurge",
    help="Learned elevation: heights from one image, and better DSMs and DTMs from stereo.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("prepare")(prepare.prepare)
app.command("check")(check.check)
app.command("simulate")(simulate.simulate)
app.command("plan")(plan.plan)
app.command("train")(train.train)
app.command("refine")(refine.refine)
app.command("generate")(generate.generate)
app.command("imagine")(imagine.imagine)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("export")(export.export)
app.command("recipes")(recipes.recipes)
app.command("bundles")(bundles.bundles)
app.add_typer(bundles.bundle_app, name="bundle")
app.command("demo")(demo.demo)


def _show_version(value: bool) -> None:
    if value:
        from demiurge._version import __version__

        typer.echo(f"demiurge {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Learned elevation: heights from one image, and better DSMs and DTMs from stereo."""


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code.

    2 for usage and configuration, 3 for bad data, 4 for a missing resource, 130 when
    interrupted, 143 when terminated, 1 only for a fault of ours. ``DEMIURGE_DEBUG=1`` shows
    tracebacks.
    """
    # GDAL would keep a twentieth of the machine's memory; rasters are read once, in order.
    os.environ.setdefault("GDAL_CACHEMAX", "128")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)  # so that what is begun is put in order
    try:
        code = app(arguments, standalone_mode=False)
    except Exception as error:
        if os.environ.get("DEMIURGE_DEBUG"):
            raise
        sys.exit(_tell(error))
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except SystemExit as stop:
        code = stop.code
    if code == _TERMINATED:
        _say("terminated")
    if code == _INTERRUPTED:  # typer turns Ctrl-C into this code without a word
        _say("interrupted")
    sys.exit(code if isinstance(code, int) else 0)


def _terminate(*_: object) -> None:
    raise SystemExit(_TERMINATED)


def _tell(error: Exception) -> int:
    """Print an error as one sentence and return its exit code."""
    if isinstance(error, DemiurgeError):
        _say(str(error))
        return error.exit_code
    message = getattr(error, "format_message", None)
    if callable(message):  # click's own: unknown options, missing arguments
        context = getattr(error, "ctx", None)
        where = f"; see: {context.command_path} --help" if context is not None else ""
        text = str(message()).strip().rstrip(".")
        if text:
            _say(f"{text}{where}.")
        return int(getattr(error, "exit_code", 2))
    if type(error).__name__ == "Abort":
        _say("interrupted")
        return _INTERRUPTED
    if isinstance(error, MemoryError):
        _say("there is not enough memory; close other programs or choose a smaller --window.")
        return 4
    if isinstance(error, OSError) and error.errno in (ENOSPC, EFBIG, EDQUOT):
        _say("no space is left on the disk; free some and run the command again.")
        return 4
    _say(
        f"this is a bug in demiurge: {type(error).__name__}: {error}; please report it with the "
        "traceback that DEMIURGE_DEBUG=1 shows."
    )
    return 1


def _say(text: str) -> None:
    typer.echo(f"demiurge: {' '.join(text.split())}", err=True)


if __name__ == "__main__":
    run()

"""The ``demiurge`` command: its subcommands, and errors as one sentence with an exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from errno import EDQUOT, EFBIG, ENOSPC
from importlib import import_module
from typing import Any

import click

from demiurge.console import as_json, check_form, failure
from demiurge.errors import DemiurgeError

#: Commands in the order of the help: the module in demiurge.cli, and a summary.
COMMANDS = {
    "fetch": ("fetch", "Download images and a coarse elevation model of an area as a scene."),
    "prepare": ("prepare", "Resample rasters to one grid and write a scene folder."),
    "check": ("check", "Check every layer of a scene; report faults and how to correct them."),
    "lidar": ("lidar", "Rasterise lidar point clouds to a scene: surface, ground, intensity."),
    "simulate": (
        "simulate",
        "Simulate scenes with exact reference heights: stereo pairs or images.",
    ),
    "plan": ("plan", "Inspect scenes; report the training plan and its cost on this machine."),
    "train": ("train", "Train a network on prepared scenes and write a bundle."),
    "refine": ("apply", "Improve a stereo DSM and derive the bare-earth DTM."),
    "generate": ("apply", "Predict an elevation surface from one image."),
    "imagine": ("apply", "Predict an image of terrain from its heights."),
    "evaluate": ("evaluate", "Compare heights with a reference, and optionally with a baseline."),
    "compare": (
        "compare",
        "Compare surfaces with a reference, on the pixels they have in common.",
    ),
    "certify": ("certify", "State a surface's accuracy from a few check points."),
    "export": (
        "export",
        "Write heights as a point cloud (las, laz, ply) or a mesh (glb, obj).",
    ),
    "view": ("view", "Show surfaces and images in the browser: maps, 3D, differences, profiles."),
    "recipes": ("recipes", "List the shipped recipes, or all settings of a recipe."),
    "bundles": ("bundles", "List the shipped bundles and those in $DEMIURGE_BUNDLES."),
    "bundle": ("bundles", "Print facts about a bundle."),
    "demo": ("demo", "Apply the shipped bundles to a stereo scene and a real image, in seconds."),
    "options": ("options", "List the options of commands, for programs that call them."),
}

_INTERRUPTED = 130
#: Exit code that shells report for a process ended by SIGTERM.
_TERMINATED = 143
_SIGNALS: dict[object, str] = {_INTERRUPTED: "interrupted", _TERMINATED: "terminated"}


class Commands(click.Group):
    """A group that imports a command when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"demiurge.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an interrupt ends it without the empty line that click prints."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise SystemExit(_INTERRUPTED) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write names and summaries without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


def _show_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from demiurge._version import __version__

        click.echo(f"demiurge {__version__}")
        context.exit()


app = Commands(
    name="demiurge",
    help="Learned elevation: heights from one image, and better DSMs and DTMs from stereo.",
    no_args_is_help=True,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version and exit.",
        )
    ],
)


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code.

    2 for usage and configuration, 3 for bad data, 4 for a missing resource, 130 if interrupted, 143
    if terminated, 1 for a bug in demiurge. ``DEMIURGE_DEBUG=1`` shows tracebacks.
    """
    # GDAL's default is 5 % of the memory; rasters are read once, in order.
    os.environ.setdefault("GDAL_CACHEMAX", "128")
    if threading.current_thread() is threading.main_thread():
        # To clean up before the exit. On Windows a program ends its child with SIGBREAK.
        for name in ("SIGTERM", "SIGBREAK"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), _terminate)
        if as_json():  # a caller that ignores SIGINT itself, as in the background of a shell
            signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        check_form()
        code = app.main(arguments, prog_name="demiurge", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("DEMIURGE_DEBUG") and isinstance(error, Exception):
            raise
        sys.exit(_report(error))
    except SystemExit as stop:
        code = stop.code
    if isinstance(code, int) and code in _SIGNALS:
        failure(_SIGNALS[code], code)
    sys.exit(code if isinstance(code, int) else 0)


def _terminate(*_: object) -> None:
    raise SystemExit(_TERMINATED)


def _report(error: BaseException) -> int:
    """Print an error as one sentence, or the help, and return the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message())
        return error.exit_code
    text, code = _sentence(error)
    failure(text, code)
    return code


def _sentence(error: BaseException) -> tuple[str, int]:
    """Return the sentence and the exit code of an error."""
    if isinstance(error, DemiurgeError):
        return str(error), error.exit_code
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        where = f"; see: {context.command_path} --help" if context is not None else ""
        return f"{error.format_message().strip().rstrip('.')}{where}.", error.exit_code
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return "interrupted", _INTERRUPTED
    if isinstance(error, MemoryError):
        return "not enough memory; close other programs or choose a smaller --window.", 4
    if isinstance(error, OSError) and error.errno in (ENOSPC, EFBIG, EDQUOT):
        return "no space is left on the disk; free some and run the command again.", 4
    return (
        f"this is a bug in demiurge: {type(error).__name__}: {error}; please report it with the "
        "traceback that DEMIURGE_DEBUG=1 shows.",
        1,
    )


if __name__ == "__main__":
    run()

"""Time to import and to show the help; size of the base installation."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from common import Claim, at_most, interleaved, main, median

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import demiurge": ["-c", "import demiurge"],
    "demiurge --help": ["-m", "demiurge.cli.main", "--help"],
}


def measure(quick: bool) -> list[Claim]:
    """Seconds of a process to import and to show the help; megabytes of the base."""
    works = {
        name: lambda arguments=arguments: subprocess.run(  # type: ignore[misc]
            [sys.executable, *arguments], check=True, capture_output=True
        )
        for name, arguments in COMMANDS.items()
    }
    times = {k: median(v) for k, v in interleaved(works, 3 if quick else 9).items()}
    names = base_distributions()
    size = sum(size_of(name) for name in names) / 1e6
    largest = max(names, key=size_of)
    return [
        Claim("Python alone", times["python -c pass"], "s"),
        at_most("import demiurge", times["import demiurge"], "s", 0.5),
        at_most("demiurge --help", times["demiurge --help"], "s", 0.7),
        at_most(f"base installation, {len(names)} distributions", size, "MB", 600),
        Claim(f"of which {largest}", size_of(largest) / 1e6, "MB"),
    ]


def base_distributions() -> set[str]:
    """Return demiurge and its base dependencies, transitive ones included."""
    names: set[str] = set()
    todo = ["demiurge"]
    while todo:
        name = todo.pop()
        if name in names:
            continue
        names.add(name)
        for line in metadata.requires(name) or []:
            requirement, _, marker = line.partition(";")
            if "extra" in marker or not _applies(marker):
                continue
            match = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
            assert match is not None
            needed = re.sub(r"[-_.]+", "-", match[0]).lower()
            if _installed(needed):
                todo.append(needed)
    return names


def _applies(marker: str) -> bool:
    if not marker.strip():
        return True
    from packaging.markers import Marker

    return Marker(marker.strip()).evaluate()


def _installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def size_of(name: str) -> int:
    """Return the size of a distribution's files in bytes."""
    paths = [Path(str(file.locate())) for file in metadata.distribution(name).files or []]
    if name == "demiurge":  # installed in place
        import demiurge

        here = Path(demiurge.__file__).parent
        paths = [p for p in here.rglob("*") if "__pycache__" not in p.parts]
    return sum(path.stat().st_size for path in paths if path.is_file())


if __name__ == "__main__":
    main(measure)

"""One module reads pixels of users' files; other modules that open rasters are listed here."""

import re
from pathlib import Path

import demiurge

SOURCES = Path(demiurge.__file__).parent

#: Modules that write rasters or read files of demiurge; outputs.py lists files.
OWN = {
    "evaluation/accuracy_map.py",
    "outputs.py",
    "predict/cluster.py",
    "predict/surface.py",
    "scene/files.py",
    "scene/geotiff.py",
    "demo/sample.py",
    "demo/rocky.py",
    "demo/jacksboro.py",
}
#: The reader and its parts.
READERS = {"scene/source.py", "scene/validity.py"}


def found_in(pattern: str) -> set[str]:
    return {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        if re.search(pattern, path.read_text(encoding="utf-8"))
    }


def test_rasters_are_opened_in_one_module() -> None:
    assert found_in(r"rasterio\.open\(") <= OWN


def test_pixels_are_read_by_one_reader() -> None:
    assert found_in(r"dataset\.read\(") <= READERS | {"demo/rocky.py"}

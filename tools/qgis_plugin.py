"""Write the archive of the QGIS plugin: build/demiurge-qgis.zip."""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
#: The time of every entry, so that the same sources give the same archive.
_TIME = (2020, 1, 1, 0, 0, 0)
_KINDS = (".py", ".qml", ".svg", ".txt")


def write(path: Path) -> None:
    """Write the archive; it holds one folder, as QGIS requires."""
    folder = ROOT / "qgis" / "demiurge"
    files = [p for p in sorted(folder.rglob("*")) if p.suffix in _KINDS or p.name == "LICENSE"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(folder.parent).as_posix(), _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, file.read_bytes())


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "demiurge-qgis.zip"
    write(target)
    print(target)

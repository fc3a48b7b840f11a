"""What each side may import: the base installation, extras, and nothing of one system alone."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import demiurge

PACKAGE = Path(demiurge.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent.parent / "pyproject.toml").read_text())["project"]
#: Modules whose distribution has another name.
NAMES = {
    "yaml": "pyyaml",
    "odc": "odc-geo",
    "cv2": "opencv-python-headless",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "skgstat": "scikit-gstat",
    "affine": "rasterio",
    "mpl_toolkits": "matplotlib",
}
#: Distributions that others of the list import.
INDIRECT = {"timm", "onnxscript"}
#: Modules that only the learning side loads.
LEARNING = (
    "training", "simulation", "demo.jacksboro", "demo.learn", "model.backend.pytorch",
    "model.network", "model.losses", "model.export", "baselines",
)  # fmt: skip
POSIX_ONLY = {"fcntl", "resource", "termios", "pwd", "grp", "posix", "syslog"}
FILES = sorted(PACKAGE.rglob("*.py"))


def declared(lists: list[list[str]]) -> set[str]:
    names = (text for one in lists for text in one)
    return {ast_name(text) for text in names if not text.startswith("demiurge[")}


def ast_name(requirement: str) -> str:
    for index, sign in enumerate(requirement):
        if sign in "[<>=;! ":
            return requirement[:index].lower()
    return requirement.lower()


BASE = declared([PROJECT["dependencies"]])
OPTIONAL = PROJECT["optional-dependencies"]
ALL = BASE | declared([OPTIONAL[name] for name in OPTIONAL if name != "dev"])


def module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, *, top: bool) -> Iterator[str]:
    """Yield the full names of imported modules; of those at once on import if ``top``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not skipped(node, top=top):
            yield from imports(node, top=top)


def skipped(node: ast.AST, *, top: bool) -> bool:
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.dump(node.test)
    return top and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def foreign(names: Iterator[str]) -> set[str]:
    tops = {name.split(".")[0] for name in names}
    tops -= sys.stdlib_module_names | {"demiurge", "__future__"}
    return {NAMES.get(top, top.replace("_", "-")) for top in tops}


def learning(module: str) -> bool:
    return any(module == part or module.startswith(f"{part}.") for part in LEARNING)


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_the_applying_side_loads_the_base_alone(file: Path) -> None:
    if learning(module_of(file)):
        return
    found = set(imports(ast.parse(file.read_text(encoding="utf-8")), top=True))
    assert foreign(iter(found)) <= BASE
    ours = {name.removeprefix("demiurge.") for name in found if name.startswith("demiurge.")}
    assert not [name for name in ours if learning(name)]


def test_every_import_is_declared_and_every_declaration_imported() -> None:
    found: set[str] = set()
    for file in FILES:
        found |= foreign(imports(ast.parse(file.read_text(encoding="utf-8")), top=False))
    assert found <= ALL
    assert ALL - found <= INDIRECT


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_nothing_needs_posix(file: Path) -> None:
    """What one system alone has is used only where the system was asked for first."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert not POSIX_ONLY & set(imports(tree, top=True))
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            asked = "sys.platform" in ast.unparse(function)
            assert asked or not POSIX_ONLY & set(imports(function, top=False)), function.name
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not used & {"os.sysconf", "os.getuid", "os.fork", "os.getloadavg", "signal.SIGKILL"}

"""Imports: floors without circles, distributions that are declared, no platform-specific ones."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from code_tree import FILES, ROOT, circles, faults, import_graph, module_of, tree_of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: Modules whose distribution has another name.
NAMES = {
    "yaml": "pyyaml",
    "odc": "odc-geo",
    "cv2": "opencv-python-headless",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "skgstat": "scikit-gstat",
    "CSF": "cloth-simulation-filter",
    "lazrs": "laspy",  # its extra
    "affine": "rasterio",
    # Packages that titiler-core stands on.
    **dict.fromkeys(
        ("anyio", "attrs", "fastapi", "morecantile", "rio_tiler", "titiler"), "titiler-core"
    ),
    "mpl_toolkits": "matplotlib",
}
#: Distributions that others of the list import.
INDIRECT = {"timm", "onnxscript"}
#: Distributions whose module is a part of another one's package: ``odc.stac``.
PARTS = {"odc-stac"}
#: Modules that only the learning side imports.
LEARNING = (
    "baselines", "training", "simulation", "demo.jacksboro", "demo.learn",
    "model.backend.pytorch", "model.ensemble", "model.export", "model.losses", "model.network",
)  # fmt: skip
#: Modules and packages from the bottom up. A module imports those of its floor and of lower ones.
FLOORS = tuple(
    tuple(names.split())
    for names in (
        "_version arrays config console errors outputs paths progress tables threads",
        "figure layers raster summary",
        "scene",
        # The networks of the baselines are architectures of the model.
        "baselines model",
        "evaluation exports fetching pointclouds predict",
        "simulation training viewer",
        "cli demo",
    )
)
#: The root is above all: the Python interface, which loads every name on first use.
TOP = len(FLOORS)
#: Modules of the learning side that import nothing heavy: models of options.
LIGHT = ("simulation.options", "training.options")
#: Modules that import packages of their extra at the top; others import them when they are used.
OF_EXTRA = ("viewer.connections", "viewer.server", "viewer.styles", "viewer.tiles")
POSIX_ONLY = {"fcntl", "resource", "termios", "pwd", "grp", "posix", "syslog"}
POSIX_NAMES = {"os.sysconf", "os.getuid", "os.fork", "os.getloadavg", "signal.SIGKILL"}


def declared(lists: list[list[str]]) -> set[str]:
    names = (text for one in lists for text in one)
    return {distribution(text) for text in names if not text.startswith("demiurge[")}


def distribution(requirement: str) -> str:
    for index, sign in enumerate(requirement):
        if sign in "[<>=;! ":
            return requirement[:index].lower()
    return requirement.lower()


BASE = declared([PROJECT["dependencies"]])
OPTIONAL = PROJECT["optional-dependencies"]
ALL = BASE | declared([OPTIONAL[name] for name in OPTIONAL if name != "dev"])


def imports(tree: ast.AST, *, top: bool) -> Iterator[str]:
    """Yield the full names of imported modules; with ``top`` of those that run on import."""
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


def within(module: str, prefixes: tuple[str, ...]) -> list[str]:
    """Return the prefixes that a module lies in."""
    return [part for part in prefixes if module == part or module.startswith(f"{part}.")]


def floor(module: str) -> int:
    """Return the floor of a module; the longest prefix decides."""
    if not module:
        return TOP
    matches = [(len(part), i) for i, names in enumerate(FLOORS) for part in within(module, names)]
    assert matches, f"{module} is on no floor: add it to FLOORS"
    return max(matches)[1]


def room(module: str) -> str:
    """Return the package or module directly below the root that a module lies in."""
    return module.partition(".")[0]


def test_modules_import_in_no_circle() -> None:
    assert circles(import_graph()) == []


def test_packages_import_in_no_circle() -> None:
    rooms: dict[str, set[str]] = {}
    for module, targets in import_graph().items():
        rooms.setdefault(room(module), set()).update(room(target) for target in targets)
    assert circles({name: targets - {name} for name, targets in rooms.items()}) == []


def test_a_module_imports_its_floor_and_lower_ones() -> None:
    upward = {
        module: [name for name in sorted(targets) if floor(name) > floor(module)]
        for module, targets in import_graph().items()
    }
    assert {module: names for module, names in upward.items() if names} == {}


def test_circles_are_recognised() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set(), "f": {"a"}}
    assert circles(graph) == [["a", "b", "c"]]


def test_every_import_counts() -> None:
    """Imports inside functions and for type checking are in the graph."""
    graph = import_graph()
    assert "cli.main" in graph
    assert {"predict.api", "training.fit"} <= graph[""]
    assert any(name.startswith("evaluation") for name in graph["cli.evaluate"])


def test_every_module_of_the_lists_exists() -> None:
    listed = {*LEARNING, *(name for names in FLOORS for name in names)}
    assert listed - import_graph().keys() == set()


def learned_or_heavy(file: Path) -> list[str]:
    """Return the distributions and modules that a file of the applying side must not import."""
    if within(module_of(file), LEARNING):
        return []
    names = set(imports(tree_of(file), top=True))
    extra = {"titiler-core", "uvicorn"} if within(module_of(file), OF_EXTRA) else set()
    own = {name.removeprefix("demiurge.") for name in names if name.startswith("demiurge.")}
    learned = (n for n in own if within(n, LEARNING) and not within(n, LIGHT))
    return sorted([*(foreign(iter(names)) - BASE - extra), *learned])


def test_the_applying_side_imports_only_the_base() -> None:
    assert faults(learned_or_heavy) == {}


def test_every_import_is_declared_and_every_declaration_imported() -> None:
    imported: set[str] = set()
    for file in FILES:
        imported |= foreign(imports(tree_of(file), top=False))
    assert imported <= ALL
    assert ALL - imported <= INDIRECT | PARTS


def posix_only(file: Path) -> list[str]:
    """Return what a file uses of one system without a check of the system."""
    tree = tree_of(file)
    uses = POSIX_ONLY & set(imports(tree, top=True))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            modules = POSIX_ONLY & set(imports(node, top=False))
            if modules and "sys.platform" not in ast.unparse(node):
                uses |= {f"{name} in {node.name}" for name in modules}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            uses |= {f"{node.value.id}.{node.attr}"} & POSIX_NAMES
    return sorted(uses)


def test_nothing_needs_posix() -> None:
    """Modules of one system are imported only after a check of the system."""
    assert faults(posix_only) == {}


def test_what_needs_posix_is_recognised(tmp_path: Path) -> None:
    checked = "def f():\n    if sys.platform == 'linux':\n        import fcntl\n"
    text = f"import os, pwd\n{checked}def g():\n    import grp\n    os.fork()\n"
    (tmp_path / "uses.py").write_text(text, encoding="utf-8")
    assert posix_only(tmp_path / "uses.py") == ["grp in g", "os.fork", "pwd"]

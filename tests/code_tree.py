"""Source files of the package, parsed, and the graph of their imports."""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import demiurge

PACKAGE = Path(demiurge.__file__).parent
ROOT = PACKAGE.parent.parent
FILES = sorted(PACKAGE.rglob("*.py"))
Graph = Mapping[str, Iterable[str]]


def module_of(file: Path) -> str:
    """Return the name of a module without the leading ``demiurge``; "" is the root."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(file: Path) -> ast.Module:
    """Return the syntax tree of a file; all tests read the same one."""
    return ast.parse(file.read_text(encoding="utf-8"))


def faults(check: Callable[[Path], object]) -> dict[str, object]:
    """Return what a check of one file reports, for each module with a fault."""
    reports = {module_of(file): check(file) for file in FILES}
    return {module: report for module, report in reports.items() if report}


@cache
def import_graph() -> dict[str, set[str]]:
    """Return the modules of the package that each module imports.

    All imports count: at module level, inside functions and under ``TYPE_CHECKING``.
    """
    names = {module_of(file) for file in FILES}
    return {
        module_of(file): set(own_imports(tree_of(file), names)) - {module_of(file)}
        for file in FILES
    }


def own_imports(tree: ast.AST, names: set[str]) -> Iterator[str]:
    """Yield the modules among ``names`` that a tree imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (own for alias in node.names if (own := _own(alias.name)) in names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            module = _own(node.module or "")
            for alias in node.names:
                submodule = None if module is None else f"{module}.{alias.name}".strip(".")
                imported = submodule if submodule in names else module
                if imported in names:
                    yield imported


def _own(name: str) -> str | None:
    if name == "demiurge":
        return ""
    return name.removeprefix("demiurge.") if name.startswith("demiurge.") else None


def circles(graph: Graph) -> list[list[str]]:
    """Return the strongly connected components of more than one node (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in order:
                visit(target)
            if target in stack:
                low[node] = min(low[node], low[target])
        if low[node] == order[node]:
            start = stack.index(node)
            component = sorted(stack[start:])
            del stack[start:]
            if len(component) > 1:
                components.append(component)

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return components

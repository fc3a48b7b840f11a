"""Limits of the code: lengths of files and functions, docstrings of public names."""

import ast
from collections.abc import Iterator
from pathlib import Path

from code_tree import FILES, faults, module_of, tree_of

FILE_LINES = 400
#: Lines of a function without its docstring.
FUNCTION_LINES = 50

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(tree: ast.AST, *, local: bool = False) -> Iterator[tuple[Definition, bool]]:
    """Yield every function and class, and whether it is public (not inside a function)."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Definition):
            public = not local and not node.name.startswith("_")
            yield node, public
            inner = not public or not isinstance(node, ast.ClassDef)
            yield from definitions(node, local=inner)
        else:
            yield from definitions(node, local=local)


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of lines of a function, without its docstring and decorators."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or 0) - docstring.lineno + 1
    return lines


def file_lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def long_functions(file: Path) -> dict[str, int]:
    return {
        node.name: lines_of(node)
        for node, _ in definitions(tree_of(file))
        if not isinstance(node, ast.ClassDef) and lines_of(node) > FUNCTION_LINES
    }


def bare_names(file: Path) -> list[str]:
    """Return the public names without docstring, and "module" for the module."""
    tree = tree_of(file)
    bare = [n.name for n, public in definitions(tree) if public and ast.get_docstring(n) is None]
    return bare if ast.get_docstring(tree) or not tree.body else ["module", *bare]


def test_files_are_short() -> None:
    lengths = {module_of(file): file_lines(file) for file in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES} == {}


def test_functions_are_short() -> None:
    assert faults(long_functions) == {}


def test_public_names_have_docstrings() -> None:
    assert faults(bare_names) == {}


def test_lengths_leave_out_docstrings() -> None:
    function = 'def f():\n    """One.\n\n    Two.\n    """\n    return 1\n'
    text = f"{function}class A:\n    def g(self): ...\n"
    nodes = list(definitions(ast.parse(text)))
    assert [node.name for node, public in nodes if public] == ["f", "A", "g"]
    assert lines_of(nodes[0][0]) == 2


def test_classes_of_the_package_have_different_names() -> None:
    """One word has one meaning: no two public classes share a name."""
    homes: dict[str, list[str]] = {}
    for file in FILES:
        for node, public in definitions(tree_of(file)):
            if public and isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(module_of(file))
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}

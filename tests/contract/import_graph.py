"""Who imports whom, read from the code without running it, and where that goes round in circles."""

import ast
from collections.abc import Container, Iterator, Mapping
from pathlib import Path


def imports_of(folder: Path, package: str) -> dict[str, set[str]]:
    """Returns each module below ``folder`` with the modules of ``package`` that it imports, wherever in the file.

    Imports for type checkers only (``if TYPE_CHECKING:``) do not count: nothing runs them.

    Args:
        folder: The package's folder.
        package: Its dotted name.
    """
    files = {_dotted(path.relative_to(folder), package): path for path in folder.rglob("*.py")}
    return {module: set(_imported(path, package, files.keys())) - {module} for module, path in files.items()}


def folders_of(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Returns the same arrows between the parts directly below the package: its folders and its single modules."""
    found: dict[str, set[str]] = {}
    for module, imported in graph.items():
        found.setdefault(_part(module), set()).update(_part(other) for other in imported)
    return {part: others - {part} for part, others in found.items()}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Returns the sets of nodes that reach each other, each sorted; empty where there is no way back anywhere."""
    reached = {node: _reachable(graph, node) for node in graph}
    groups = {frozenset(other for other in reached[node] if node in reached.get(other, ())) for node in graph}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found, todo = set(), [start]
    while todo:
        new = graph.get(todo.pop(), set()) - found
        found |= new
        todo += new
    return found


def _dotted(path: Path, package: str) -> str:
    return ".".join([package, *path.with_suffix("").parts]).removesuffix(".__init__")


def _part(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def _imported(path: Path, package: str, modules: Container[str]) -> Iterator[str]:
    for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # `from package import x` imports the module package.x, or a name of package
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == package:
                yield name if name in modules else name.rpartition(".")[0] or name


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            todo += node.orelse
            continue
        yield node
        todo += ast.iter_child_nodes(node)

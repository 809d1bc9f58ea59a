"""Finds which of this repository's modules a module imports, from its source and without importing it."""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from modelyard.paths import repository

_DOTTED = re.compile(r"(?:modelyard|pipelines)(?:\.\w+)+")


def closure(files: Iterable[Path]) -> set[Path]:
    """Returns ``files`` and all modules of ours that they import, directly or through others.

    Imports are followed wherever they stand, also inside functions, and also where a string names a module by its
    dotted path (an offline store, a worker's entry point). Imports for type checking only are not followed.
    """
    todo, found = list(files), set[Path]()
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            todo.extend(imported(file))
    return found


@cache
def parsed(file: Path) -> ast.Module:
    """Returns the syntax tree of a module."""
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


@cache
def imported(file: Path) -> tuple[Path, ...]:
    """Returns the modules of ours that a module names, sorted."""
    found = {file_of(name) for name in _names(parsed(file), package_of(file))}
    return tuple(sorted(path for path in found if path))


def imported_names(file: Path) -> dict[str, Path]:
    """Returns each name that a module's top-level imports bind, with the module of ours that it comes from."""
    found = {}
    for node in parsed(file).body:
        if isinstance(node, ast.ImportFrom):
            module = absolute(node, package_of(file))
            for alias in node.names:
                source = file_of(f"{module}.{alias.name}") or file_of(module)
                if source:
                    found[alias.asname or alias.name] = source
    return found


def file_of(module: str) -> Path | None:
    """Returns the file of a module of ours; None for a name inside a module, and for what is not ours."""
    if module.split(".", 1)[0] not in ("modelyard", "pipelines"):
        return None
    base = repository() / ("src" if module.startswith("modelyard") else ".") / Path(*module.split("."))
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


def file_of_name(dotted: str) -> Path | None:
    """Returns the file of the module that a dotted name stands in: the name of a module, or of something in it."""
    return file_of(dotted) or file_of(dotted.rpartition(".")[0])


def package_of(file: Path) -> str:
    """Returns the dotted name of the package that a module lies in."""
    folder = file.parent.relative_to(repository())
    return ".".join(folder.parts[1:] if folder.parts[0] == "src" else folder.parts)


def absolute(node: ast.ImportFrom, package: str) -> str:
    """Returns the dotted name of the module that ``from … import`` names, relative or not."""
    if not node.level:
        return node.module or ""
    parents = package.split(".")[: len(package.split(".")) + 1 - node.level]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _names(tree: ast.AST, package: str) -> Iterator[str]:
    """Yields dotted names of imports and of strings, a name inside a module with and without its last part."""
    todo = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Constant):
            name = node.value.split(":")[0] if isinstance(node.value, str) else ""
            if _DOTTED.fullmatch(name):
                yield from (name, name.rpartition(".")[0])
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, package)
            # A package's own file imports all of a project; who takes one module from it does not use the others.
            for alias in node.names:
                name = f"{module}.{alias.name}"
                yield name if file_of(name) else module
        elif not (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")):
            todo.extend(ast.iter_child_nodes(node))

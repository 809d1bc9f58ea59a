"""Finds which fields of a project's record a shared module reads, and the project modules that define them."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from modelyard.lineage.imports import imported_names, parsed

Field = tuple[str, ...]
"""``("fit",)`` for ``project.fit``, ``("metrics", "score")`` for ``project.metrics.score``."""

_RECORD = ("project", "_project")
"""Names of the variable that holds the record in all shared modules (checked by ``tests/contract/test_spine.py``)."""

_LOADS = "load_project"


@cache
def fields_read(file: Path) -> frozenset[Field]:
    """Returns the fields that a module reads: attributes of ``project``, or of the result of ``load_project``."""
    return frozenset(_fields(parsed(file)))


def rooms(project: Path, fields: Iterable[Field]) -> set[Path]:
    """Returns the modules that a project's ``pipeline.py`` takes these fields of its record from.

    Args:
        project: The project's folder.
        fields: Fields of the record; unknown fields, and those with their default, are ignored.
    """
    pipeline = project / "pipeline.py"
    sources = imported_names(pipeline)
    record = _record(parsed(pipeline))
    if record is None:  # the record is built in another way, so any of the imports may belong to any stage
        return set(sources.values())
    names = {name for field in fields for value in _values(record, field) for name in _names(value)}
    return {sources[name] for name in names if name in sources}


def _fields(node: ast.AST) -> Iterator[Field]:
    """Yields each field once, in its longest form: the part ``project.metrics`` of a chain would mean all metrics."""
    if not isinstance(node, ast.Attribute):
        for child in ast.iter_child_nodes(node):
            yield from _fields(child)
        return
    names: list[str] = []
    base: ast.AST = node
    while isinstance(base, ast.Attribute):
        names.insert(0, base.attr)
        base = base.value
    if isinstance(base, ast.Name):
        names.insert(0, base.id)
    elif isinstance(base, ast.Call) and isinstance(base.func, ast.Name) and base.func.id == _LOADS:
        names.insert(0, _RECORD[0])
    yield from _fields(base)
    for position, name in enumerate(names[:-1]):
        if name in _RECORD:
            yield tuple(names[position + 1 : position + 3])


def _record(tree: ast.Module) -> ast.Call | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PROJECT":
            return node.value if isinstance(node.value, ast.Call) else None
    return None


def _values(call: ast.Call, field: Field) -> Iterator[ast.expr]:
    """Yields the value of a field: ``metrics.score`` inside ``metrics=Metrics(score=…)``, or all of ``metrics``."""
    for keyword in call.keywords:
        if keyword.arg != field[0]:
            continue
        value = keyword.value
        if len(field) > 1 and isinstance(value, ast.Call) and value.keywords and not value.args:
            yield from _values(value, field[1:])
        else:
            yield value


def _names(value: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}

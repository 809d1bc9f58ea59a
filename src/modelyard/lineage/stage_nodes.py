"""Reads from dvc.yaml, the lifecycle and the catalog what each stage runs, without importing a project."""

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from modelyard.errors import ConfigurationError
from modelyard.lineage.imports import file_of_name, imported_names, parsed

_NODES = re.compile(r"--nodes=(\S+)")
_PARAMETERS = "params:"
_ANYTHING = r"[^.]+"


class StageNode(NamedTuple):
    """A node of the lifecycle.

    Args:
        name: Its name, without the namespace.
        module: Module that defines its function, or the factory of its function.
        datasets: Datasets that it reads and writes.
        groups: Parameter groups that it reads.
    """

    name: str
    module: Path
    datasets: tuple[str, ...]
    groups: tuple[str, ...]


@cache
def lifecycle_nodes(lifecycle: Path) -> dict[str, StageNode]:
    """Returns the nodes that ``lifecycle.py`` lists, by name.

    Raises:
        ConfigurationError: A ``Node(...)`` is written in a form that cannot be parsed here.
    """
    sources = imported_names(lifecycle)
    calls = [node for node in ast.walk(parsed(lifecycle)) if isinstance(node, ast.Call)]
    found = [_node(call, sources, lifecycle) for call in calls if ast.unparse(call.func) == "Node"]
    return {node.name: node for node in found}


def stages(pipeline: Path) -> dict[str, tuple[str, ...]]:
    """Returns, for each stage of ``dvc.yaml`` that runs a part of the lifecycle, the nodes that it runs.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    found = {}
    for name, stage in _yaml(pipeline)["stages"].items():
        nodes = _NODES.search(stage.get("do", {}).get("cmd", ""))
        if nodes:
            found[name] = tuple(node.rpartition(".")[2] for node in nodes[1].split(","))
    return found


def dataset_modules(datasets: Iterable[str], catalog: Path) -> set[Path]:
    """Returns the modules of the types that a catalog gives to datasets."""
    types = _types(catalog)
    found = set()
    for dataset in datasets:
        # As in Kedro, the pattern with the most characters outside its braces wins.
        fitting = [pattern for pattern in types if re.fullmatch(pattern, dataset)]
        if fitting:
            module = file_of_name(types[max(fitting, key=lambda pattern: len(pattern.replace(_ANYTHING, "")))])
            found |= {module} if module else set()
    return found


@cache
def _types(catalog: Path) -> dict[str, str]:
    """Returns, for each pattern of the catalog, a regular expression of the names that match, and its dataset type."""
    return {
        re.sub(r"\\\{\w+\\\}", lambda _: _ANYTHING, re.escape(name.partition("}.")[2])): str(entry["type"])
        for name, entry in _yaml(catalog).items()
    }


def _node(call: ast.Call, sources: dict[str, Path], lifecycle: Path) -> StageNode:
    function = call.args[0] if call.args else call
    maker = function.func if isinstance(function, ast.Call) else function
    name = next((word.value for word in call.keywords if word.arg == "name"), None)
    if not (isinstance(maker, ast.Name) and maker.id in sources and isinstance(name, ast.Constant)):
        raise ConfigurationError(
            "A node of the lifecycle cannot be read: which module its function comes from, or its name.",
            where=f"{lifecycle}, line {call.lineno}",
            way_out='write Node(make_x(project), …, name="x"), with make_x imported at the top',
        )
    words = [word for part in call.args[1:] for word in _words(part)]
    return StageNode(
        name=str(name.value),
        module=sources[maker.id],
        datasets=tuple(word for word in words if not word.startswith(_PARAMETERS)),
        groups=tuple(word.removeprefix(_PARAMETERS) for word in words if word.startswith(_PARAMETERS)),
    )


def _words(inputs: ast.expr) -> list[str]:
    values = inputs.values if isinstance(inputs, ast.Dict) else [inputs]
    constants = [node for value in values for node in ast.walk(value) if isinstance(node, ast.Constant)]
    return [node.value for node in constants if isinstance(node.value, str)]


@cache
def _yaml(path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"The file cannot be read: {error}", where=str(path)) from error

"""The committed notebooks: executed as they stand, small, readable anywhere, and up to date with the code they call."""

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from modelyard.paths import repository
from modelyard.projects import project_names

FOLDER = repository() / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST_BYTES = 700_000
FEWEST_CELLS, MOST_CELLS = 8, 15
KINDS = {
    "tables": {"fraud_detection"},
    "images": {"medical_image_analysis", "satellite_image_analysis"},
    "forecasting": {"climate_pattern_recognition", "stock_market_prediction"},
    "generation": {"music_generation"},
}
ABSOLUTE_PATH = re.compile(r"(?<![\w.~])/(?:work|home|tmp|root|Users|private|mnt)(?:/|\b)")
EMBEDDED = re.compile(r"base64,[A-Za-z0-9+/=\s]+")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_no_fault(path):
    assert faults(path) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_project_has_a_notebook(kind):
    assert KINDS[kind] & {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_in_the_table(path):
    assert f"]({path.name})" in (FOLDER / "README.md").read_text(encoding="utf-8")


def faults(path: Path) -> list[str]:
    """What is wrong with a notebook, in words; empty if nothing is."""
    notebook = nbformat.read(path, as_version=4)
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        return [f"no valid notebook: {str(error).splitlines()[0]}"]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [*_form(path, notebook), *_execution(code), *_outputs(code), *_paths(notebook), *_code(path.stem, code)]


def _form(path: Path, notebook: Any) -> Iterator[str]:
    if path.stem not in project_names():
        yield f"there is no project {path.stem}"
    if path.stat().st_size >= LARGEST_BYTES:
        yield f"too large: {path.stat().st_size} bytes"
    if not FEWEST_CELLS <= len(notebook.cells) <= MOST_CELLS:
        yield f"{len(notebook.cells)} cells"
    if notebook.cells[0].cell_type != "markdown" or not notebook.cells[0].source.startswith("# "):
        yield "does not begin with its question"


def _execution(code: list[Any]) -> Iterator[str]:
    counts = [cell.execution_count for cell in code]
    if counts != list(range(1, len(code) + 1)):
        yield f"not executed from top to bottom: {counts}"


def _outputs(code: list[Any]) -> Iterator[str]:
    outputs = [output for cell in code for output in cell.outputs]
    for output in outputs:
        if output.output_type == "error":
            yield f"shows an error: {output.ename}"
        if output.output_type == "stream" and output.name == "stderr":
            yield f"shows a warning: {output.text[:80]}"
    if not any("image/png" in output.get("data", {}) for output in outputs):
        yield "shows no picture"


def _paths(notebook: Any) -> Iterator[str]:
    for text in _texts(notebook):
        if found := ABSOLUTE_PATH.search(EMBEDDED.sub("", text)):
            yield f"names a path of one machine: {text[found.start() :][:60]}"


def _texts(notebook: Any) -> Iterator[str]:
    """Everything that is not a picture or a sound."""
    for cell in notebook.cells:
        yield cell.source
        for output in cell.get("outputs", []):
            yield str(output.get("text", ""))
            yield from output.get("traceback", [])
            for kind, content in output.get("data", {}).items():
                if not kind.startswith(("image/", "audio/")):
                    yield str(content)


def _code(project: str, code: list[Any]) -> Iterator[str]:
    for cell in code:
        try:
            tree = ast.parse(TransformerManager().transform_cell(cell.source))
        except SyntaxError as error:
            yield f"cell {cell.id} does not compile: {error.msg}"
            continue
        for module, name in _imports(tree):
            if module.split(".")[0] == "pipelines" and not f"{module}.".startswith(f"pipelines.{project}."):
                yield f"uses another project: {module}"
            elif not _exists(module, name):
                yield f"there is no {name or module} in {module}"


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Module and name (empty: the module itself) of every import of our own code."""
    for node in ast.walk(tree):
        found = []
        if isinstance(node, ast.ImportFrom):
            found = [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found = [(alias.name, "") for alias in node.names]
        yield from (each for each in found if each[0].split(".")[0] in ("modelyard", "pipelines"))


def _exists(module: str, name: str) -> bool:
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError:
        return False
    return not name or hasattr(found, name)


def _first_code(notebook: Any) -> Any:
    return next(cell for cell in notebook.cells if cell.cell_type == "code")


def _show(notebook: Any, **output: Any) -> None:
    _first_code(notebook).outputs.append(nbformat.v4.new_output(**output))


def _add_code(notebook: Any, source: str) -> None:
    _first_code(notebook).source += f"\n{source}"


def _hide_pictures(notebook: Any) -> None:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("image/png", None)


PLANTED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "invalid": (lambda nb: _first_code(nb).update(execution_count="one"), "no valid notebook"),
    "too large": (lambda nb: _show(nb, output_type="stream", text="x" * LARGEST_BYTES), "too large"),
    "too few cells": (lambda nb: nb.cells.__delitem__(slice(5, None)), "5 cells"),
    "too many cells": (lambda nb: nb.cells.extend(map(nbformat.v4.new_markdown_cell, "abcdefgh")), "cells"),
    "no question": (lambda nb: nb.cells.pop(0), "does not begin with its question"),
    "never executed": (lambda nb: _first_code(nb).update(execution_count=None), "not executed from top to bottom"),
    "executed twice": (lambda nb: _first_code(nb).update(execution_count=99), "not executed from top to bottom"),
    "error": (lambda nb: _show(nb, output_type="error", ename="KeyError", evalue="", traceback=[]), "an error: KeyE"),
    "warning": (lambda nb: _show(nb, output_type="stream", name="stderr", text="old"), "shows a warning: old"),
    "no picture": (_hide_pictures, "shows no picture"),
    "path printed": (lambda nb: _show(nb, output_type="stream", text="see /tmp/run/log"), "/tmp/run/log"),
    "path in code": (lambda nb: _add_code(nb, "open('/home/ada/data.csv')"), "/home/ada"),
    "path in a table": (
        lambda nb: _show(nb, output_type="display_data", data={"text/html": "<td>/root/x</td>"}),
        "/root/x",
    ),
    "syntax": (lambda nb: _add_code(nb, "for"), "does not compile"),
    "renamed function": (lambda nb: _add_code(nb, "from modelyard.paths import datadir"), "there is no datadir"),
    "removed module": (lambda nb: _add_code(nb, "import pipelines.fraud_detection.gone as x"), "no pipelines.fraud"),
    "other project": (
        lambda nb: _add_code(nb, "from pipelines.music_generation.rolls import N_KEYS"),
        "uses another project: pipelines.music_generation",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_fault_is_found(name, tmp_path):
    plant, expected = PLANTED[name]
    notebook = nbformat.read(FOLDER / "fraud_detection.ipynb", as_version=4)
    plant(notebook)
    path = tmp_path / "fraud_detection.ipynb"
    path.write_text(nbformat.v4.writes_json(notebook), encoding="utf-8")
    assert any(expected in fault for fault in faults(path))


def test_notebook_of_no_project_is_found(tmp_path):
    path = tmp_path / "weather.ipynb"
    path.write_bytes((FOLDER / "fraud_detection.ipynb").read_bytes())
    assert "there is no project weather" in faults(path)


def test_embedded_sound_is_no_path(tmp_path):
    notebook = nbformat.read(FOLDER / "fraud_detection.ipynb", as_version=4)
    _show(notebook, output_type="display_data", data={"text/html": '<source src="data:audio/wav;base64,A/tmp/AA="/>'})
    path = tmp_path / "fraud_detection.ipynb"
    nbformat.write(notebook, path)
    assert faults(path) == []

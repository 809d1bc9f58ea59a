"""Which runs of lines do two projects share, even if one renamed the other's nouns?"""

import ast
import io
import keyword
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

RUN = 12
"""Lines of code inside functions; so many in a row are alike in two projects only if one was copied."""

WIRING = ("__init__.py", "pipeline.py")
"""Alike in all projects on purpose."""


class Token(NamedTuple):
    """One token of a line: a name that may have been renamed, or what has to be the same."""

    text: str
    is_name: bool


class Line(NamedTuple):
    """One line of code: its number and tokens."""

    number: int
    tokens: tuple[Token, ...]


def doubled_runs(projects: dict[str, list[Path]]) -> list[str]:
    """Returns a sentence for each first line of a run that stands in two projects.

    Two runs are the same if one becomes the other when names are replaced one for one; comments, docstrings, imports,
    texts and line breaks between brackets do not count.

    Args:
        projects: Name to the modules of each project.
    """
    seen: dict[str, tuple[str, str]] = {}
    problems = []
    for project, modules in projects.items():
        for path in modules:
            if path.name in WIRING:
                continue
            lines = lines_inside_functions(path.read_text(encoding="utf-8"))
            for first in range(len(lines) - RUN + 1):
                place = f"{project}/{path.name}, line {lines[first].number}"
                owner, earlier = seen.setdefault(_pattern(lines[first : first + RUN]), (project, place))
                if owner != project:
                    problems.append(f"{place} begins {RUN} lines like those of {earlier}")
    return problems


def lines_inside_functions(text: str) -> list[Line]:
    """Returns the lines of all functions that say something: no docstring, comment, import or lonely bracket."""
    wanted = set(_line_numbers(ast.parse(text)))
    found: dict[int, list[Token]] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.start[0] in wanted and token.string.strip():
            is_name = token.type == tokenize.NAME and not keyword.iskeyword(token.string)
            kind = tokenize.tok_name[token.type]
            if kind == "STRING" or kind.startswith("FSTRING"):
                found.setdefault(token.start[0], []).append(Token("text", is_name=False))
            elif kind in ("NAME", "NUMBER", "OP"):
                found.setdefault(token.start[0], []).append(Token(token.string, is_name))
    lines = (Line(number, tuple(tokens)) for number, tokens in sorted(found.items()))
    return [line for line in lines if any(token.text[0].isalnum() or token.text[0] == "_" for token in line.tokens)]


def _line_numbers(tree: ast.Module) -> Iterator[int]:
    functions, others = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.update(range(node.lineno, (node.end_lineno or 0) + 1))
        if isinstance(node, ast.Import | ast.ImportFrom):
            others.update(range(node.lineno, (node.end_lineno or 0) + 1))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            others.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    yield from functions - others


def _pattern(lines: list[Line]) -> str:
    """The lines with each name replaced by a number, in the order in which names first come."""
    numbers: dict[str, str] = {}
    rows = [
        " ".join(
            numbers.setdefault(token.text, f"name{len(numbers)}") if token.is_name else token.text
            for token in line.tokens
        )
        for line in lines
    ]
    return "\n".join(rows)

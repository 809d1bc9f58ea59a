"""``kedro new-project``: creates a small project that runs, with its configuration and tests."""

import importlib.util
import keyword
import os
import re
import shutil
import tempfile
from itertools import product
from pathlib import Path

import click

from modelyard.commands.readable_errors import readable_errors
from modelyard.errors import ConfigurationError
from modelyard.files import write_text, writing
from modelyard.paths import repository

STARTER = Path(__file__).resolve().parents[1] / "starter"
"""Real code in layers, each laid out like the repository; copying replaces only its name and title."""

KINDS = {
    "tabular": ("every_kind", "classifier", "tabular"),
    "images": ("every_kind", "classifier", "images"),
    "series": ("every_kind", "series"),
    "text": ("every_kind", "classifier", "text"),
}
"""The layers of each kind of data; of a file that two layers have, the later one is used."""

STARTER_NAME, STARTER_TITLE = "starter_project", "Starter project"

SHELVES = ("conf/base", "conf/ci", "conf/benchmark", "tests/pipelines", "pipelines")
"""Folders in which a project has a subfolder of its name. The last is written last: it registers the project."""

_MAX_CHARACTERS = 40
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_TITLE = re.compile(r"[^\W_][^\"\\|\r\n\t]{1,59}")


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(list(KINDS)), default="tabular", help="What the data are like.")
@click.option("--title", help="Its title in documents; by default the name with spaces.")
def new_project(name: str, kind: str, title: str | None) -> None:
    """Make a new project that runs: a small example with configuration and tests, to be replaced module by module.

    NAME is a noun in snake_case; it will be the same in code, conf, data, tests and MLflow.
    """
    with readable_errors():
        made = scaffold(name, title or name.replace("_", " ").capitalize(), repository(), kind)
        click.echo("Made:")
        for path in made:
            click.echo(f"  {path.relative_to(repository())}")
        click.echo(_next_steps(name))


def scaffold(name: str, title: str, root: Path, kind: str = "tabular") -> list[Path]:
    """Copies the starter to all folders of a project below ``root``, whole or not at all.

    Args:
        name: The project's name.
        title: Its title in documents.
        root: The repository, or a folder laid out like it.
        kind: One of :data:`KINDS`.

    Returns:
        The created folders, and ``README.md`` if its table of projects got a row.

    Raises:
        ConfigurationError: The name or the title cannot be used, or something of that name is there already.
        StorageError: The disk is full or read-only; nothing was made.
    """
    check_new_name(name, root)
    if not _TITLE.fullmatch(title):
        raise ConfigurationError(
            f"The title {title!r} cannot be used.",
            where="--title",
            way_out='one line of 2 to 60 characters, beginning with a letter or digit, without ", \\ and |',
        )
    made: list[Path] = []
    with writing(root / name):
        staged = Path(tempfile.mkdtemp(dir=root, prefix=f".{name}.", suffix=".part"))
        try:
            for shelf, layer in product(SHELVES, KINDS[kind]):
                _copy(STARTER / layer / shelf, staged / shelf / name, {STARTER_NAME: name, STARTER_TITLE: title})
            for shelf in SHELVES:
                (root / shelf).mkdir(parents=True, exist_ok=True)
                os.rename(staged / shelf / name, root / shelf / name)
                made.append(root / shelf / name)
            if _add_to_table(root / "README.md", name, title):
                made.append(root / "README.md")
            if _add_to_stages(root / "dvc.yaml", name):
                made.append(root / "dvc.yaml")
        except BaseException:
            for path in made:
                shutil.rmtree(path, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    return made


def check_new_name(name: str, root: Path) -> None:
    """Checks that ``name`` can be the name of a new project.

    Raises:
        ConfigurationError: It is not a snake_case noun, or is already in use here.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > _MAX_CHARACTERS:
        near = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")
        fits = bool(_NAME.fullmatch(near)) and not keyword.iskeyword(near) and len(near) <= _MAX_CHARACTERS
        raise ConfigurationError(
            f"'{name}' cannot be a project's name." + (f" Did you mean '{near}'?" if fits else ""),
            where="NAME",
            way_out=f"a noun in snake_case, at most {_MAX_CHARACTERS} characters, not a keyword of Python",
        )
    taken = [str(path.relative_to(root)) for path in (root / shelf / name for shelf in SHELVES) if path.exists()]
    if taken:
        raise ConfigurationError(
            f"There is something called '{name}' already; it was left as it is.",
            where=", ".join(taken),
            way_out="choose another name, or delete these folders first",
        )
    if importlib.util.find_spec(name) is not None:
        raise ConfigurationError(
            f"'{name}' is the name of an installed module; one name would mean two things.",
            where=str(importlib.util.find_spec(name)),
            way_out="choose a longer name that says what is predicted",
        )
    used = next((path for path in spine_files() if re.search(rf"\b{name}\b", path.read_text(encoding="utf-8"))), None)
    if used is not None:
        raise ConfigurationError(
            f"The spine uses the word '{name}'; a search for the project would find other things.",
            where=str(used),
            way_out="choose a longer name that says what is predicted",
        )


def spine_files() -> list[Path]:
    """Returns every module of the spine; the starter is not part of it."""
    files = (repository() / "src" / "modelyard").rglob("*.py")
    return sorted(path for path in files if not path.is_relative_to(STARTER))


def _copy(source: Path, target: Path, tokens: dict[str, str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.glob("*.*")):
        name, text = file.name, file.read_text(encoding="utf-8")
        for token, value in tokens.items():
            name, text = name.replace(token, value), text.replace(token, value)
        (target / name).write_text(text, encoding="utf-8")


def _add_to_table(readme: Path, name: str, title: str) -> bool:
    """Adds a row to the README's table of projects; returns whether there is such a table."""
    lines = readme.read_text(encoding="utf-8").splitlines() if readme.exists() else []
    rows = [n for n, line in enumerate(lines) if line.startswith("|") and "kedro run --pipeline=" in line]
    if not rows:
        return False
    model = lines[rows[-1]].strip().strip("|").split("|")
    cells = ["–"] * len(model)
    cells[0] = f"[{name}](pipelines/{name}/README.md): {title}"
    cells[next(n for n, cell in enumerate(model) if "kedro run --pipeline=" in cell)] = f"`kedro run --pipeline={name}`"
    lines.insert(rows[-1] + 1, f"| {' | '.join(cells)} |")
    write_text(readme, "\n".join(lines) + "\n")
    return True


def _add_to_stages(file: Path, name: str) -> bool:
    """Adds the project to the list in dvc.yaml; returns whether there is such a list."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    longer, found = re.subn(r"(foreach: &projects\n(?: +- \w+\n)*)", rf"\1      - {name}\n", text, count=1)
    if found:
        write_text(file, longer)
    return bool(found)


def _next_steps(name: str) -> str:
    return f"""
It is a complete toy on simulated data. See it work:
  kedro run --pipeline={name} --env=ci
  make test PROJECT={name}

Then make it yours, room by room, with both commands green after each (CONTRIBUTING.md):
  pipelines/{name}/data.py       the records, where they come from, what they promise
  pipelines/{name}/features.py   what is known of a part, a customer, a place beside its record; if anything is
  pipelines/{name}/network.py, model.py, train.py, evaluate.py, figures.py, serve.py, play.py
  pipelines/{name}/README.md     the card, and the row in the table of README.md"""

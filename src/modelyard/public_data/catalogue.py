"""The catalogue of public data sets: description, licence, source, size and sha256 of each.

The entries are in ``conf/base/public_data.yml``; ``docs/public-data.md`` explains how to add one.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from modelyard.errors import ConfigurationError
from modelyard.paths import repository

_STRICT = ConfigDict(frozen=True, extra="forbid")


_MEMBER = re.compile("(?P<sha256>[0-9a-f]{64}) (?P<bytes>[0-9]+) (?P<path>.+)")


def _is_inside(path: str) -> bool:
    return not ("\\" in path or ":" in path or any(part in ("", ".", "..") for part in path.split("/")))


def _relative(path: str) -> str:
    if not _is_inside(path):
        raise ValueError("must be a relative path with forward slashes that stays inside its folder")
    return path


RelativePath = Annotated[str, AfterValidator(_relative)]
WebAddress = Annotated[str, Field(pattern=r"^https?://[^\s/]+")]


class PublishedBytes(BaseModel):
    """Bytes whose size and sha256 are known before they are fetched."""

    model_config = _STRICT

    path: RelativePath = Field(description="Path below the data set's folder, the same at each place it comes from.")
    bytes: int = Field(ge=0, description="Size.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Hex sha256 of the content.")


class PublishedFile(PublishedBytes):
    """One file of a data set."""

    url: WebAddress | None = Field(None, description="Address, where it is not ``upstream.files`` with this path.")
    upstream_sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="Of the publisher's whole file, where this is its ``cut``."
    )


class Cut(BaseModel):
    """Which rows of the publisher's CSV files belong to the data set; each kept line is unchanged, byte for byte."""

    model_config = _STRICT

    column: str = Field(min_length=1, description="Name in the header line of what decides.")
    before: str = Field(min_length=1, description="Rows whose value sorts before this text are kept.")
    largest_bytes: int = Field(gt=0, description="No file of the publisher is larger; what goes on is cut off.")


class Archive(PublishedBytes):
    """Many small upstream files, packed into one zip or tar in a mirror; only its members are kept on disk.

    If there are hundreds, the catalogue's entry names a file that lists them (:func:`read_members`).
    """

    members: tuple[PublishedFile, ...] = Field(min_length=1, description="Their paths are the names in the archive.")


class Upstream(BaseModel):
    """The publisher's repository at one commit, or page."""

    model_config = _STRICT

    repository: WebAddress
    commit: str = Field("", pattern=r"^([0-9a-f]{40})?$", description="Empty where there is one version only.")
    files: WebAddress = Field(
        description="Address of one file; ``{commit}``, ``{path}``, its end ``{name}`` are filled in."
    )


class Result(BaseModel):
    """A published result of a method on a data set."""

    model_config = _STRICT

    method: str
    split: str = Field(description="The rows that were measured.")
    values: dict[str, float | str] = Field(min_length=1, description="Metric to value; text where no number is known.")
    source: str = Field(description="Where it was published, or how it was measured.")
    evidence: Literal["seen", "memory", "measured"] = Field(
        description="``seen`` was read in the source; ``memory`` was not; ``measured`` was computed on these files."
    )


class PublicDataset(BaseModel):
    """One public data set: files, licence, citation and known results."""

    model_config = _STRICT

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Its key in the catalogue and its folder's name.")
    title: str
    description: str = Field(description="Rows, columns, units, target, missing values.")
    projects: tuple[str, ...] = Field(description="Projects that use it.")
    homepage: WebAddress
    licence: str = Field(description="SPDX name or 'not stated'.")
    licence_note: str = Field("", description="What else is known about the licence.")
    citation: str
    split: str = Field(description="The official split, or ours where there is none.")
    caveats: str = Field("", description="Known problems for users of the data.")
    upstream: Upstream
    cut: Cut | None = Field(None, description="Rows of the publisher's files that are used, where not all are.")
    archives: tuple[Archive, ...] = ()
    files: tuple[PublishedFile, ...] = ()
    reference_results: tuple[Result, ...] = ()
    floors: tuple[Result, ...] = Field((), description="Trivial and simple methods on the same rows.")

    @model_validator(mode="after")
    def _paths_are_unique(self) -> "PublicDataset":
        paths = [item.path for item in (*self.all_files(), *self.archives)]
        twice = {path for path, n in Counter(paths).items() if n > 1}
        if twice:
            raise ValueError(f"listed twice: {', '.join(sorted(twice))}")
        if not paths:
            raise ValueError("no files are listed")
        if bool(self.cut) != any(file.upstream_sha256 for file in self.all_files()):
            raise ValueError("`cut` and files with `upstream_sha256` come together")
        return self

    def all_files(self) -> Iterator[PublishedFile]:
        """Yields the data set's files on disk: the plain ones and the archives' members."""
        yield from self.files
        for archive in self.archives:
            yield from archive.members

    @property
    def total_bytes(self) -> int:
        """Returns the size on disk in bytes."""
        return sum(file.bytes for file in self.all_files())

    def upstream_url(self, file: PublishedFile) -> str:
        """Returns the publisher's URL of ``file``."""
        if file.url:
            return file.url
        path = quote(file.path)
        return self.upstream.files.format(commit=self.upstream.commit, path=path, name=path.rpartition("/")[2])


def catalogue_path() -> Path:
    """Returns the path of the catalogue."""
    return repository() / "conf" / "base" / "public_data.yml"


def load_catalogue(path: Path | None = None) -> dict[str, PublicDataset]:
    """Reads and checks the catalogue.

    Args:
        path: Another catalogue than the repository's.

    Returns:
        Name to data set, in the file's order.

    Raises:
        ConfigurationError: The file is missing or not YAML, or an entry does not fit :class:`PublicDataset`.
    """
    import yaml

    path = path or catalogue_path()
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return {name: PublicDataset(name=name, **_with_members(entry, path.parent)) for name, entry in entries.items()}
    except ValidationError as error:
        found = "\n".join(_line(problem) for problem in error.errors())
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, AttributeError) as error:
        found = f"The catalogue of public data cannot be read: {error}"
    raise ConfigurationError(found, where=str(path), way_out="docs/public-data.md shows what an entry looks like")


def read_members(path: Path) -> list[PublishedFile]:
    """Reads the list of an archive's members: ``<sha256> <bytes> <path>`` on each line, in the archive's order.

    Some lists have ten thousands of lines, so that each is matched once instead of being validated field by field.

    Args:
        path: The list.

    Returns:
        One file for each line.

    Raises:
        ConfigurationError: A line has another form, or its path leaves the folder.
        OSError: The list cannot be read.
    """
    members = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        found = _MEMBER.fullmatch(line)
        if found is None or not _is_inside(found["path"]):
            raise ConfigurationError(
                "The line is not '<sha256> <bytes> <path>', the path relative and with forward slashes.",
                where=f"{path}, line {number}",
                way_out="write the list anew",
            )
        file = PublishedFile.model_construct(path=found["path"], bytes=int(found["bytes"]), sha256=found["sha256"])
        members.append(file)
    return members


def _with_members(entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Returns the entry with the members of archives whose ``member_list`` names a file beside the catalogue."""
    archives = [
        {name: value for name, value in archive.items() if name != "member_list"}
        | {"members": read_members(folder / archive["member_list"])}
        if "member_list" in archive
        else archive
        for archive in entry.get("archives", ())
    ]
    return {**entry, "archives": archives}


def find_dataset(name: str, catalogue: Mapping[str, PublicDataset] | None = None) -> PublicDataset:
    """Returns the data set called ``name``.

    Args:
        name: As in the catalogue.
        catalogue: Another catalogue than the repository's.

    Raises:
        ConfigurationError: The catalogue has no such data set; the message proposes the nearest name.
    """
    known = load_catalogue() if catalogue is None else catalogue
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise ConfigurationError(
        f"There is no public data set '{name}'.{hint}",
        where=str(catalogue_path()),
        way_out="`kedro data list` shows all; docs/public-data.md says how to add one",
    )


def results_on(name: str, results: Callable[[PublicDataset], Sequence[Result]]) -> list[Result]:
    """Returns results on a data set, or on a part of one: then their split begins with the part's name.

    Args:
        name: Of the data set or the part.
        results: Takes the wanted ones from an entry.
    """
    catalogue = _catalogue()
    if name in catalogue:
        return list(results(catalogue[name]))
    everything = (result for entry in catalogue.values() for result in results(entry))
    return [result for result in everything if result.split.lower().startswith(name)]


def best_published(name: str, metric: str, *, greater_is_better: bool, most: int) -> list[tuple[Result, float]]:
    """Returns the best published results in one metric, each with its value, the best first.

    Args:
        name: Of the data set or a part of one.
        metric: Results without a number for it are left out.
        greater_is_better: Its direction.
        most: How many at most.
    """
    found = [
        (result, value)
        for result in results_on(name, lambda entry: entry.reference_results)
        if isinstance(value := result.values.get(metric), float)
    ]
    return sorted(found, key=lambda one: one[1], reverse=greater_is_better)[:most]


@cache
def _catalogue() -> dict[str, PublicDataset]:
    return load_catalogue()


def _line(problem: Any) -> str:
    """Returns one of pydantic's errors as one line, with its entry."""
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else str(problem["msg"])

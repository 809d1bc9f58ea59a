"""The committed files are the build of the sources, and the sources know what the server sends."""

import gzip
import re

import pytest

from scripts.play_page import BUILT, SOURCES, TYPES, build, description_types

LARGEST_KB = 60


def test_the_types_are_those_of_the_models():
    assert TYPES.read_text() == description_types(), "run make page"


def test_what_the_server_sends_is_never_left_out():
    types = description_types()
    assert "?:" not in types
    for line in ('kind: "fan_chart";', "low: number | null;", "leads: ReadonlyArray<number>;"):
        assert line in types


def test_the_committed_files_are_the_build_of_the_sources(node_modules, tmp_path):
    build(SOURCES, tmp_path / "static")
    ours = {path.name: path.read_bytes() for path in BUILT.iterdir()}
    anew = {path.name: path.read_bytes() for path in (tmp_path / "static").iterdir()}
    assert sorted(ours) == sorted(anew), "run make page"
    assert [name for name in anew if anew[name] != ours[name]] == [], "run make page"


def test_a_wrong_type_is_not_built(node_modules, tmp_path):
    from subprocess import CalledProcessError

    sources = tmp_path / "page"
    sources.mkdir()
    for path in SOURCES.iterdir():
        if path.name != "node_modules":
            (sources / path.name).symlink_to(path)
    (sources / "node_modules").symlink_to(node_modules)
    (sources / "wrong.ts").write_text(
        'import type { Number } from "./description.ts";\nexport const one: Number = { kind: "choice" };\n'
    )
    with pytest.raises(CalledProcessError):
        build(sources, tmp_path / "static")


def test_the_page_is_small_and_asks_nobody_else():
    scripts = [path.read_bytes() for path in BUILT.iterdir() if path.suffix in (".js", ".css", ".html")]
    assert sum(len(gzip.compress(content)) for content in scripts) < LARGEST_KB * 1000
    addresses = {found for content in scripts for found in re.findall(rb"https?://[\w./-]+", content)}
    assert {one for one in addresses if not one.startswith(b"http://www.w3.org/")} == set()

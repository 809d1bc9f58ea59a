"""Each check of the contract finds the mistake that it is there for, planted in a copy of the starter."""

import itertools
import shutil
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

import pipelines
from modelyard.commands.new_project import scaffold
from modelyard.errors import ConfigurationError
from tests.contract import check_imports, check_record, check_rooms, check_wiring
from tests.contract.shelves import Shelves
from tests.contract.test_projects import CHECKS

NUMBERS = itertools.count()


class Mistake(NamedTuple):
    """One planted mistake; ``@`` stands for the project's name.

    Args:
        says: Part of what the check says about it.
        file: One of the rooms, or a path below the root.
        old: Text to replace; empty: the whole file.
        new: What takes its place; None: the file is deleted.
    """

    says: str
    file: str
    old: str = ""
    new: str | None = None

    def plant(self, shelves: Shelves) -> None:
        file, old, new = (part and part.replace("@", shelves.name) for part in self[1:])
        path = shelves.root / file if "/" in file else shelves.rooms / file
        if new is None:
            path.unlink()
            return
        text = path.read_text() if old else ""
        assert old in text
        path.write_text(text.replace(old, new) if old else new)


MISTAKES = {
    check_rooms.rooms_are_the_usual_ones: [
        Mistake("serve.py is missing", "serve.py"),
        Mistake("utils.py is no room", "utils.py", new=""),
        Mistake("notes.txt is no room", "notes.txt", new=""),
        Mistake("which question `gears.py` answers", "gears.py", new=""),
    ],
    check_rooms.functions_stand_in_their_rooms: [
        Mistake(
            "metrics.floor stands in train.py, not in evaluate.py", "pipeline.py", "floor=floor", "floor=search_space"
        ),
        Mistake("if and only if", "pipeline.py", "    feature_views=FEATURE_VIEWS,\n", ""),
        Mistake(
            "known_ceiling stands in data.py", "data.py", "\ndef ingest(", "\ndef known_ceiling(): ...\ndef ingest("
        ),
    ],
    check_rooms.wiring_is_nothing_but_wiring: [
        Mistake("neither PROJECT nor", "pipeline.py", "PROJECT =", "SIZE = 1\nPROJECT ="),
        Mistake("more than 60", "pipeline.py", "PROJECT =", "\n" * 30 + "PROJECT ="),
    ],
    check_imports.a_room_imports_only_rooms_before_it: [
        Mistake("data.py imports model.py,", "data.py", "import polars", "import pipelines.@.model\nimport polars"),
        Mistake(
            "evaluate.py and model.py import each other",
            "model.py",
            "import polars",
            "import pipelines.@.evaluate\nimport polars",
        ),
        Mistake("serve.py imports figures.py,", "serve.py", "    return ", "    from . import figures\n    return "),
    ],
    check_imports.numpy_and_polars_stand_at_the_top: [
        Mistake("import numpy at the top", "evaluate.py", "    return ", "    import numpy as np\n    return "),
        Mistake(
            "import polars.testing at the top",
            "model.py",
            "if TYPE_CHECKING:",
            "if TYPE_CHECKING:\n    from polars.testing import x",
        ),
    ],
    check_imports.record_is_light_to_import: [
        Mistake("imports torch", "model.py", "from pathlib", "import torch\nfrom pathlib"),
        Mistake("cannot be imported", "model.py", "from pathlib", "import nothing_like_it\nfrom pathlib"),
    ],
    check_rooms.the_name_is_on_every_shelf: [
        Mistake("conf/ci/@/parameters.yml is missing", "conf/ci/@/parameters.yml"),
        Mistake("not only about @", "conf/base/@/parameters.yml", "@:", "another:"),
        Mistake("small.py is missing", "tests/pipelines/@/small.py"),
    ],
    check_rooms.the_readme_has_a_row: [
        Mistake("no table row", "./README.md", new="To run it: `kedro run --pipeline=@`"),
    ],
    check_rooms.the_stages_have_its_name: [
        Mistake("dvc.yaml does not list", "./dvc.yaml", "      - @\n", ""),
    ],
    check_rooms.the_card_is_about_this_project: [
        Mistake("# A broken copy", "README.md", "# A broken copy", "# Another title"),
        Mistake("## Known limits", "README.md", "## Known limits", "## More"),
        Mistake("more than 60", "README.md", "## Known limits", "More.\n" * 60 + "## Known limits"),
    ],
    check_imports.no_project_imports_another: [
        Mistake("pipelines.plums is", "data.py", "from typing", "import pipelines.plums\nfrom typing"),
        Mistake("pipelines.plums.x", "data.py", "from typing", "from ..plums import x\nfrom typing"),
        Mistake("pipelines.plums is", "data.py", "from typing", "from pipelines import plums\nfrom typing"),
        Mistake("pipelines.@_2", "data.py", "from typing", "import pipelines.@_2\nfrom typing"),
        Mistake("pipelines.plums is", "train.py", "import polars", "OTHER = 'pipelines.plums'\nimport polars"),
    ],
    check_rooms.public_things_have_docstrings: [
        Mistake("figures has no docstring", "figures.py", '"""Draws the test', 'unused = """Draws the test'),
        Mistake("predict has no 'Returns:'", "evaluate.py", "Returns:", "Gives:"),
        Mistake(
            "expectations has no 'Raises:'", "data.py", "    import great", "    raise ValueError\n    import great"
        ),
    ],
    check_record.the_record_bears_the_folders_name: [
        Mistake("PROJECT.name is 'plums'", "pipeline.py", 'name="@"', 'name="plums"'),
        Mistake("namespaces are {'plums'}", "pipeline.py", 'name="@"', 'name="plums"'),
    ],
    check_record.columns_say_what_they_hold: [
        Mistake("without unit", "data.py", ', unit="mm/s"', ""),
        Mistake("does not end in its unit, _k", "data.py", 'unit="°C"', 'unit="K"'),
        Mistake("no description", "data.py", 'description="At the part\'s bearing."', 'description=""'),
        Mistake("the group 'machine_id' is no column", "data.py", 'group="part_id"', 'group="machine_id"'),
        Mistake("column part_id is there twice", "data.py", 'name="age_d"', 'name="part_id"'),
        Mistake("starts with is_", "data.py", 'name="is_failing"', 'name="failing"'),
        Mistake("ends in _at", "data.py", 'Column(name="event_time"', 'Column(name="moment"'),
        Mistake("not snake_case", "data.py", 'Column(name="age_d"', 'Column(name="Age_d"'),
    ],
    check_record.features_say_what_they_hold: [
        Mistake("there twice", "features.py", "temperature_rise_28d_c", "temperature_mean_28d_c"),
        Mistake("also a column", "features.py", '"temperature_rise_28d_c"', '"temperature_c"'),
        Mistake("not snake_case", "features.py", '"part_condition"', '"PartCondition"'),
        Mistake("no column part_id of type int64", "features.py", 'entity_dtype="string"', 'entity_dtype="int64"'),
        Mistake("no description", "features.py", '"Mean vibration over the readings of the last 28 days."', '""'),
    ],
    check_record.parameters_are_described_and_bounded: [
        Mistake("fit.width has no bounds", "model.py", "Field(32, ge=2, le=1024, ", "Field(32, "),
        Mistake("ingest.simulation.noise has no bounds", "simulator.py", "Field(1.0, ge=0, le=10, ", "Field(1.0, "),
        Mistake("ingest.source has no description", "data.py", 'description="Which source."', 'description=""'),
        Mistake("does not mean all defaults", "model.py", "Field(32, ge=2", "Field(ge=2"),
    ],
    check_record.the_loop_is_steered_by_its_own_parameters: [
        Mistake(
            "fit.epochs is a parameter of the loop", "model.py", "    width: int", "    epochs: int = 1\n    width: int"
        ),
        Mistake("under another name than loop", "model.py", "    loop: Loop", "    training: Loop"),
    ],
    check_record.the_schedule_is_a_cron_expression: [
        Mistake("'8' is not within 0 to 7", "pipeline.py", "0 5 * * 1", "0 5 * * 8"),
        Mistake("4 fields", "pipeline.py", "0 5 * * 1", "0 5 * *"),
        Mistake("'weekly'", "pipeline.py", "0 5 * * 1", "0 5 * * weekly"),
    ],
    check_record.the_example_can_be_decoded: [
        Mistake("gives nothing for feature", "serve.py", "return latest.join", "return latest\n    latest.join"),
        Mistake("2 requests become 1 rows", "serve.py", "return latest.join", "return latest.head(1).join"),
        Mistake("trip through JSON", "serve.py", "age_d: float = Field(", "age_d: float = Field(1.0, exclude=True, "),
        Mistake("cannot carry", "serve.py", "failure_probability: float", "failure_probability: set[float]"),
    ],
    check_record.media_of_requests_have_a_budget: [
        Mistake(
            "samples in picture: Api.budget limits them",
            "serve.py",
            "class PartRequest(BaseModel):",
            "from typing import Annotated\n\n"
            "from modelyard.tasks.images.request_image import Base64Image, RequestImage\n\n\n"
            "class PartRequest(BaseModel):\n"
            "    picture: Annotated[RequestImage, Base64Image(len, 9)] = Field(None, description='Of the part.')\n",
        ),
    ],
    check_record.the_page_shows_what_the_api_has: [
        Mistake("has no page", "pipeline.py", "    play=PLAY,\n", ""),
        Mistake("input age: age is no field of", "play.py", 'field="age_d"', 'field="age"'),
        Mistake("input temperatures_c: ages is no", "play.py", 'follows=["vibrations_mm_s"]', 'follows=["ages"]'),
        Mistake("output risk: risk is no field of", "play.py", 'field="failure_probability"', 'field="risk"'),
        Mistake("the page's question", "play.py", "within a week?", "within a week."),
        Mistake("what the primary metric means", "play.py", "and 0.9 is good.", "and 0.9 is good"),
    ],
    check_record.the_pages_examples_are_requests: [
        Mistake("age_d at its least is no request", "play.py", "minimum=0, maximum=1000", "minimum=-7, maximum=1000"),
        Mistake("age_w", "play.py", '"age_d": age_d', '"age_w": age_d'),
        Mistake("two examples are called", "play.py", '"A sound part"', '"A worn part"'),
    ],
    check_record.expectations_can_be_built: [
        Mistake("no column 'age_w'", "data.py", '("age_d",', '("age_w",'),
        Mistake("no description", "data.py", "description=f", "notes=f"),
        Mistake("no expectations", "data.py", "in _PLAUSIBLE", "in ()"),
    ],
    check_wiring.every_dataset_has_a_home: [
        Mistake(
            "@.recrods has no home",
            "pipeline.py",
            "    return assemble(PROJECT)",
            "    from kedro.pipeline import Node\n\n"
            "    more = Node(ingest, 'params:ingest', 'recrods')\n"
            "    return assemble(PROJECT) + Pipeline([more], namespace=PROJECT.name)",
        ),
    ],
    check_wiring.every_parameter_has_a_reader: [
        Mistake("nothing reads the group gates", "conf/base/@/parameters.yml", "@: {}", "@: {gates: {}}"),
        Mistake("did you mean 'width'?", "conf/base/@/parameters.yml", "@: {}", "@: {fit: {widht: 3}}"),
        Mistake("conf/ci: fit.loop.epochs", "conf/ci/@/parameters.yml", "epochs: 6", "epochs: 0"),
    ],
}


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Iterator[Shelves]:
    """A copy of the starter that can be imported; each has a name of its own, so that no module is met again."""
    name = f"broken_{next(NUMBERS)}"
    table = "| project | command |\n|---|---|\n| [plums](pipelines/plums) | `kedro run --pipeline=plums` |\n"
    (tmp_path / "README.md").write_text(table)
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  train:\n    foreach: &projects\n      - plums\n    do:\n      cmd: x\n"
    )
    scaffold(name, "A broken copy", tmp_path, "tabular")
    monkeypatch.setattr(pipelines, "__path__", [*pipelines.__path__, str(tmp_path / "pipelines")])
    yield Shelves(tmp_path, name)
    for module in [module for module in sys.modules if module.startswith(f"pipelines.{name}")]:
        del sys.modules[module]


@pytest.mark.parametrize(
    ("check", "mistake"),
    [pytest.param(check, mistake, id=mistake.says) for check, found in MISTAKES.items() for mistake in found],
)
def test_a_planted_mistake_is_found(check, mistake, copy):
    mistake.plant(copy)
    try:
        problems = check(copy)
    except (ValueError, ConfigurationError) as error:  # so grave that the check cannot go on: it fails all the same
        problems = [str(error)]
    assert any(mistake.says.replace("@", copy.name) in problem for problem in problems), problems


def test_an_untouched_copy_has_no_problems(copy):
    assert {check.__name__: check(copy) for check in CHECKS} == {check.__name__: [] for check in CHECKS}


def test_a_missing_folder_is_found(copy):
    shutil.rmtree(copy.root / "tests")
    shutil.rmtree(copy.root / "conf" / "benchmark")
    problems = check_rooms.the_name_is_on_every_shelf(copy)
    assert any("has no tests" in problem for problem in problems)
    assert any("conf/benchmark" in problem for problem in problems)


def test_a_later_room_behind_an_annex_is_found(copy):
    (copy.rooms / "gears.py").write_text(f"from pipelines.{copy.name}.train import fit")
    with (copy.rooms / "model.py").open("a") as room:
        room.write(f"from pipelines.{copy.name} import gears\n")
    problems = check_imports.a_room_imports_only_rooms_before_it(copy)
    assert "gears.py and model.py and train.py import each other" in problems[0]
    assert any(problem.startswith("model.py imports train.py through gears.py") for problem in problems)


def test_a_folder_inside_a_project_is_found(copy):
    (copy.rooms / "networks").mkdir()
    assert "networks is no room" in check_rooms.rooms_are_the_usual_ones(copy)[0]


def test_an_annex_is_one_that_the_card_explains_and_a_room_imports(copy):
    (copy.rooms / "gears.py").write_text("")
    with (copy.rooms / "README.md").open("a") as card:
        card.write("How do gears turn? `gears.py`\n")
    assert check_rooms.rooms_are_the_usual_ones(copy) == ["gears.py is imported by no room"]
    with (copy.rooms / "data.py").open("a") as room:
        room.write("from . import gears\n")
    assert check_rooms.rooms_are_the_usual_ones(copy) == []


def test_every_check_has_a_planted_mistake():
    assert set(MISTAKES) == set(CHECKS)

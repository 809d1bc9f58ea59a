"""What two projects need in the same words stands in ``modelyard.tasks``."""

import re

from tests.contract.doubles import RUN, doubled_runs
from tests.contract.shelves import repository_projects

FUNCTION = '''
def share_of_ripe(plums, params):
    """How many."""
    import math

    ripe = [plum for plum in plums if plum.is_ripe]
    sour = [plum for plum in plums if not plum.is_ripe]
    if not plums:
        raise ValueError("no plums")
    for plum in ripe:
        plum.weigh(
            params.scale,
        )
    total = math.fsum(plum.weight for plum in ripe)
    rest = math.fsum(plum.weight for plum in sour)
    if total + rest == 0:
        return 0.0
    share = total / (total + rest)
    return round(share, params.digits)
'''


def written(folder, **texts):
    projects = {}
    for name, text in texts.items():
        (folder / name).mkdir()
        (folder / name / "evaluate.py").write_text(text)
        projects[name] = [folder / name / "evaluate.py"]
    return projects


def test_no_two_projects_share_a_run_of_lines():
    """New projects are left out: they have in common what nobody has replaced yet."""
    assert doubled_runs({shelves.name: shelves.modules for shelves in repository_projects()}) == []


def test_a_copy_with_other_nouns_is_found(tmp_path):
    renamed = FUNCTION.replace("plum", "pear").replace("# ", "#").replace("How many", "Which part")
    problems = doubled_runs(written(tmp_path, plums=FUNCTION, pears=f"\nSIZE = 1\n{renamed}"))
    assert problems[0] == f"pears/evaluate.py, line 4 begins {RUN} lines like those of plums/evaluate.py, line 2"


def test_other_code_and_a_project_of_its_own_are_not(tmp_path):
    other = FUNCTION.replace("total / (total + rest)", "rest / (total + rest)").replace(
        'raise ValueError("no plums")', "return 1.0"
    )
    assert doubled_runs(written(tmp_path, plums=FUNCTION, pears=other)) == []
    own = written(tmp_path, cherries=FUNCTION + re.sub("share_of_ripe", "again", FUNCTION))
    assert doubled_runs(own) == []

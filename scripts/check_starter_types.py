"""Runs mypy over a new project of each kind: what the starter imports is there only once it has been copied."""

import os
import shutil
import subprocess
import sys

from modelyard.commands.new_project import KINDS, scaffold
from modelyard.paths import repository

folder = repository() / ".mypy_cache" / "new_projects"
shutil.rmtree(folder, ignore_errors=True)
(folder / "pipelines").mkdir(parents=True)
shutil.copy(repository() / "pipelines" / "__init__.py", folder / "pipelines")
for kind in KINDS:
    scaffold(f"new_{kind}_project", f"New project, {kind}", folder, kind)
options = ["--config-file", repository() / "pyproject.toml", "--cache-dir", folder.parent / "starter"]
environment = os.environ | {"MYPYPATH": os.pathsep.join([str(folder), str(repository() / "src")])}
sys.exit(subprocess.run(["mypy", *options, "-p", "pipelines"], cwd=folder, env=environment, check=False).returncode)

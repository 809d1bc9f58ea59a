"""Executes notebooks from top to bottom and keeps what they show: each file is written whole or not at all.

``python notebooks/execute.py`` takes all of them, ``python notebooks/execute.py notebooks/music_generation.ipynb`` one.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from traitlets.config import Config

from modelyard.files import atomic_file

LONGEST_CELL_S = 1200
"""The first cell may have to run a whole pipeline on a slow machine."""


def execute(path: Path) -> None:
    """Runs one notebook in its own folder, in a kernel of this environment, and writes its outputs into the file.

    Args:
        path: The notebook.

    Raises:
        CellExecutionError: A cell failed; the file is untouched.
    """
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.resolve().parent)}}
    with TemporaryDirectory() as sockets:  # the kernel listens there and on no port
        connection = {"transport": "ipc", "connection_file": str(Path(sockets) / "kernel.json")}
        # Recorded times would differ in every run, and the interpreter's version means nothing to a reader.
        NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=LONGEST_CELL_S,
            record_timing=False,
            resources=folder,
            config=Config(AsyncKernelManager=connection),
        ).execute()
    notebook.metadata.language_info = {"name": "python"}
    with atomic_file(path) as temporary:
        nbformat.write(notebook, temporary)


if __name__ == "__main__":
    for each in map(Path, sys.argv[1:] or sorted(map(str, Path(__file__).parent.glob("*.ipynb")))):
        execute(each)
        print(f"executed {each.name}")

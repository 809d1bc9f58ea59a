"""`dvc push` and `dvc pull` with a real S3 server."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import Service, s3_environment


class Tracked:
    """A small repository with one file under DVC and an S3 remote."""

    def __init__(self, folder: Path, server: Service) -> None:
        self.folder, self.server = folder, server

    def run(self, *command: str, status: int = 0, **variables: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment |= s3_environment(self.server) | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "true",
            "DVC_SITE_CACHE_DIR": str(self.folder / ".dvc" / "site"),
        }
        ended = subprocess.run(
            command,
            cwd=self.folder,
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert ended.returncode == status, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def tracked(s3, tmp_path_factory) -> Tracked:
    made = Tracked(tmp_path_factory.mktemp("dvc"), s3)
    made.run("git", "init", "-q")
    made.run("dvc", "init", "-q")
    made.run("dvc", "remote", "add", "--default", "store", "s3://modelyard/dvc")
    (made.folder / "records.csv").write_text("id,amount\n1,2.5\n" * 1000)
    made.run("dvc", "add", "-q", "records.csv")
    return made


def test_data_goes_to_s3_and_comes_back(tracked):
    records = tracked.folder / "records.csv"
    before = records.read_bytes()
    assert "1 file pushed" in tracked.run("dvc", "push")
    assert list((tracked.server.folder / "buckets" / "modelyard" / "dvc").rglob("*"))
    records.unlink()
    shutil.rmtree(tracked.folder / ".dvc" / "cache")
    tracked.run("dvc", "pull")
    assert records.read_bytes() == before


def test_wrong_credentials_are_refused_and_not_written(tracked):
    shutil.rmtree(tracked.folder / ".dvc" / "cache")
    said = tracked.run("dvc", "pull", status=1, AWS_SECRET_ACCESS_KEY="wrong-word")
    assert "403" in said
    files = [path for path in (tracked.folder / ".dvc").rglob("*") if path.is_file() and "cache" not in path.parts]
    assert files
    assert not [path for path in files for word in tracked.server.secrets() if word.encode() in path.read_bytes()]

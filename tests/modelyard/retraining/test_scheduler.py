"""Before Dagster's two processes start, everything that both would make is there."""

import sqlite3

from modelyard.retraining.scheduler import dagster_servers


def tables(path) -> set[str]:
    with sqlite3.connect(path) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_the_tables_are_made_before_two_processes_want_them(monkeypatch, tmp_path):
    monkeypatch.setenv("MODELYARD_DATA_DIR", str(tmp_path))
    dagster_servers(3000, environment="", params="")
    home = tmp_path / "dagster"
    made = {path.relative_to(home).as_posix(): tables(path) for path in home.rglob("*.db")}
    assert made.keys() == {"history/runs.db", "history/runs/index.db", "schedules/schedules.db"}
    assert all("alembic_version" in names and len(names) > 5 for names in made.values())
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*.db")}
    dagster_servers(3000, environment="", params="")
    assert before == {path: path.stat().st_mtime_ns for path in home.rglob("*.db")}

"""Following the registry when it misbehaves: loads that hang, a database that goes away, tags that people change."""

import asyncio
import contextlib
import subprocess
import sys
import threading
import time

import pytest

from modelyard.errors import StorageError
from modelyard.model_registry.aliases import Candidate, RegistryView
from modelyard.serving import follower
from modelyard.serving.app import build_app
from modelyard.serving.loaded_version import LoadedVersion, check_tags
from modelyard.serving.metrics import Metrics
from modelyard.serving.server_settings import ServingSettings
from tests.modelyard.serving.toy import SLOW, TOY, Factor

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Shelf:
    """A registry in memory, and the models of its versions."""

    def __init__(self):
        self.wished = {}
        self.wished_of_slow = {}
        self.history = []
        self.tags = {}
        self.is_down = False
        self.hang = threading.Event()
        self.loads = []

    def aliases(self):
        if self.is_down:
            raise StorageError("The registry cannot be read.")
        return {("toy", alias): version for alias, version in self.wished.items()} | {
            ("slow", alias): version for alias, version in self.wished_of_slow.items()
        }

    def champion_history(self, project):
        return self.history

    def candidate(self, project, version):
        tags = {"gate": "passed"} | self.tags.get(version, {})
        return Candidate(project=project, version=version, source="toy", location="", tags=tags)

    def load(self, project, candidate):
        check_tags(project, candidate)
        self.loads.append(candidate.version)
        if candidate.version == "9":
            self.hang.wait(10)
        return LoadedVersion(
            project=TOY, version=candidate.version, identity=candidate.identity, model=Factor(float(candidate.version))
        )


@pytest.fixture
async def shelf(data_directory, monkeypatch):
    made = Shelf()
    monkeypatch.setattr(follower, "load_checked", made.load)
    monkeypatch.setattr(follower, "_FIRST_RETRY_S", 0.2)
    monkeypatch.setattr(follower, "_ALIAS_GRACE_S", 0.3)
    monkeypatch.setattr(follower, "_LOOK_AGAIN_S", 0.05)
    yield made
    made.hang.set()


class Following:
    """A service that follows the shelf."""

    def __init__(self, shelf, **settings):
        self.metrics = Metrics()
        settings = ServingSettings(**{"poll_s": 0.02, "load_timeout_s": 0.3} | settings)
        self.app = build_app(settings, {"toy": TOY, "slow": SLOW}, shelf, metrics=self.metrics)
        self.service = self.app.state.services["toy"]

    async def __aenter__(self):
        self._lifespan = self.app.router.lifespan_context(self.app)
        await self._lifespan.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self._lifespan.__aexit__(*error)

    async def until(self, condition):
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)

    async def serves(self, version):
        await self.until(lambda: (self.service.champion and self.service.champion.version) == version)

    def refused(self, version, reason):
        return self.metrics.value("versions_refused_total", project="toy", version=version, reason=reason)


async def test_a_load_that_hangs_is_refused_and_holds_up_nothing(shelf):
    shelf.wished = {"champion": "1"}
    async with Following(shelf) as following:
        await following.serves("1")
        shelf.wished = {"champion": "9"}
        await following.until(lambda: following.refused("9", "files"))
        assert following.service.champion.version == "1"
        shelf.wished = {"champion": "2"}
        await following.serves("2")


async def test_a_load_that_hangs_takes_no_other_project_its_turn_and_the_end_does_not_wait_for_it(shelf, monkeypatch):
    monkeypatch.setattr(follower, "_LOADS_AT_ONCE", 1)
    monkeypatch.setattr(follower, "_LOAD_TURN_S", 0.1)
    shelf.wished_of_slow = {"champion": "9"}
    async with Following(shelf, load_timeout_s=60) as following:
        await following.until(lambda: shelf.loads == ["9"])
        shelf.wished = {"champion": "1"}
        await following.serves("1")
        ending = time.monotonic()
    assert time.monotonic() - ending < 5


async def test_a_refused_version_is_tried_again_and_serves_once_its_gate_is_corrected(shelf):
    shelf.wished, shelf.tags = {"champion": "2"}, {"2": {"gate": "failed", "gate_reason": "worse than the floor"}}
    async with Following(shelf) as following:
        await following.until(lambda: following.refused("2", "gate") >= 2)
        assert "worse than the floor" in following.service.why_not
        assert shelf.loads == []
        shelf.tags = {}
        await following.serves("2")


async def test_a_server_that_starts_with_a_refused_champion_takes_an_earlier_one_and_says_so(shelf):
    shelf.wished, shelf.history = {"champion": "4"}, ["1", "2", "3", "4", "5"]
    shelf.tags = {"4": {"gate": "failed"}, "3": {"gate": "failed"}}
    async with Following(shelf) as following:
        await following.serves("2")
        await following.until(lambda: following.service.degraded)
        assert "Version 4 was refused" in following.service.degraded
        assert "Version 2 answers" in following.service.degraded
        assert following.metrics.value("degraded", project="toy") == 1
        loads = list(shelf.loads)
        await asyncio.sleep(0.5)
        assert shelf.loads == loads
        shelf.tags = {}
        await following.serves("4")
        await following.until(lambda: not following.service.degraded)
        assert following.metrics.value("degraded", project="toy") == 0


async def test_a_version_without_a_gate_is_refused(shelf):
    shelf.wished, shelf.tags = {"champion": "2"}, {"2": {"gate": ""}}
    async with Following(shelf) as following:
        await following.until(lambda: following.refused("2", "gate"))
        assert following.service.champion is None


async def test_the_registry_goes_away_and_comes_back(shelf):
    shelf.wished = {"champion": "1"}
    async with Following(shelf) as following:
        await following.serves("1")
        shelf.is_down = True
        await following.until(lambda: following.metrics.value("registry_up") == 0)
        await asyncio.sleep(0.5)
        assert following.service.champion.version == "1"
        shelf.wished, shelf.is_down = {"champion": "2"}, False
        await following.serves("2")
        assert following.metrics.value("registry_up") == 1


async def test_an_alias_that_moves_in_two_steps_interrupts_nothing(shelf):
    shelf.wished = {"champion": "1"}
    async with Following(shelf) as following:
        await following.serves("1")
        shelf.wished = {}
        await asyncio.sleep(0.1)
        assert following.service.champion.version == "1"
        shelf.wished = {"champion": "2"}
        await following.serves("2")
        shelf.wished = {}
        await following.serves(None)


async def test_a_rollback_needs_no_second_load(shelf):
    shelf.wished = {"champion": "1"}
    async with Following(shelf) as following:
        for version in ("1", "2", "1", "2"):
            shelf.wished = {"champion": version}
            await following.serves(version)
    assert shelf.loads == ["1", "2"]


async def test_the_challenger_is_loaded_only_where_it_is_used_and_is_not_the_champion(shelf):
    shelf.wished = {"champion": "1", "challenger": "2"}
    async with Following(shelf) as following:
        await following.serves("1")
        await asyncio.sleep(0.1)
    assert shelf.loads == ["1"]
    async with Following(shelf, shadow_share=0.5) as following:
        await following.until(lambda: following.service.challenger is not None)
        shelf.wished = {"champion": "2", "challenger": "2"}
        await following.until(lambda: following.service.challenger is None)
        await following.serves("2")


async def test_a_rollback_is_told_to_the_registry_heeded_by_others_and_lifted_by_a_person(shelf, monkeypatch):
    shelf.wished = {"champion": "1", "challenger": "2"}

    def tag(project, version, reason):
        shelf.tags[version] = {follower.ROLLED_BACK_TAG: reason}
        return True

    monkeypatch.setattr(follower, "_tag_rollback", tag)
    async with Following(shelf, canary_share=0.5) as first, Following(shelf, canary_share=0.5) as other:
        for one in (first, other):
            await one.until(lambda one=one: one.service.canary() is not None)
        first.service.end_canary(first.service.challenger, "too slow")
        await first.until(lambda: shelf.tags)
        await other.until(lambda: other.service.canary() is None)
        assert other.service.state()["canary"]["rolled_back"] == {"2": "too slow"}
        shelf.tags.clear()
        for one in (first, other):
            await one.until(lambda one=one: one.service.canary() is not None)


def a_database(path, statements):
    import sqlite3

    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            "CREATE TABLE registered_models (name, workspace);"
            "CREATE TABLE registered_model_aliases (name, alias, version, workspace);" + statements
        )


async def test_a_registry_that_was_deleted_says_nothing_about_what_should_serve(tmp_path):
    path = tmp_path / "mlflow.db"
    model = "INSERT INTO registered_models VALUES ('toy', 'default');"
    alias = "INSERT INTO registered_model_aliases VALUES ('toy', 'champion', 1, 'default');"
    a_database(path, model + alias)
    view = RegistryView(f"sqlite:///{path}")
    assert view.aliases() == {("toy", "champion"): "1"}
    path.unlink()
    for _ in range(2):
        with pytest.raises(StorageError, match="is empty now"):
            view.aliases()
        with pytest.raises(StorageError, match="not there"):
            view.candidate("toy", "1")
        assert not path.exists()
    a_database(path, "")  # made anew by whoever opened it first
    with pytest.raises(StorageError, match="is empty now"):
        view.aliases()
    path.unlink()
    a_database(path, model)  # a person has taken the alias away
    assert view.aliases() == {}


async def test_before_the_first_run_there_is_no_registry_and_none_is_made(data_directory):
    assert RegistryView().aliases() == {}
    assert list(data_directory.iterdir()) == []


async def test_a_registry_that_cannot_be_read_is_said_without_its_password():
    with pytest.raises(StorageError) as refused:
        RegistryView("postgresql+nodriver://reader:secret@127.0.0.1:1/mlflow").aliases()
    assert "secret" not in str(refused.value)


async def test_xgboost_starts_without_scikit_learn_which_others_may_still_import():
    code = (
        "import sys; from modelyard.startup.xgboost import leave_out_scikit_learn; leave_out_scikit_learn();"
        "import xgboost; assert 'sklearn' not in sys.modules; xgboost.Booster(); import sklearn.base"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)

"""A scheduler in this process: Dagster's own jobs on a real instance, a clock that the test sets, retrainings that only
leave a mark. What a retraining itself does is tested with real runs in ``tests/end_to_end``."""

import json
import shutil
import tempfile
from datetime import UTC, datetime

import dagster as dg

from modelyard.retraining import history, retrain
from modelyard.retraining.definitions import retraining_job
from modelyard.retraining.policy import POLICY_VARIABLE
from modelyard.retraining.retrain import Outcome
from modelyard.retraining.run_requests import PID_TAG, requests

PROJECT = "fraud_detection"
KINDS = (("schedule",), ("drift",), ("new_data",), ("schedule",))
"""The calendar and the three sensors."""


class Scheduler:
    """Looks at the signals when a test says so, and runs what they ask for, as Dagster's daemon does."""

    def __init__(self, data, monkeypatch, policy="retraining: {retry_delay_s: 0}"):
        path = data / "promotion.yml"
        path.write_text(policy)
        monkeypatch.setenv(POLICY_VARIABLE, str(path))
        monkeypatch.setattr(history, "clock", lambda: self.now)
        monkeypatch.setattr(retrain, "_run", self._retrained)
        monkeypatch.setattr(retrain, "_judge", lambda project, triggers: Outcome("7", False, "as the test wishes"))
        self.now = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
        self.data, self.retrainings, self.fails_with = data, [], []
        self._home = tempfile.mkdtemp(dir=data)
        self.instance = dg.DagsterInstance.local_temp(self._home, overrides={"telemetry": {"enabled": False}})

    def _retrained(self, project, say):
        self.retrainings.append(self.now)
        say("a line of its output")
        if self.fails_with:
            raise self.fails_with.pop(0)

    def close(self):
        self.instance.dispose()
        shutil.rmtree(self._home)

    def asks(self):
        """What calendar and sensors ask for now."""
        asked = [one for kinds in KINDS for one in requests(self.instance, [PROJECT], kinds)]
        return [one for one in asked if isinstance(one, dg.RunRequest)]

    def launch(self, request):
        """Runs the job, unless a run with the same key was launched before."""
        tags = {"dagster/run_key": request.run_key, **request.tags}
        if self.instance.get_runs_count(dg.RunsFilter(tags={"dagster/run_key": request.run_key})):
            return None
        job = retraining_job(PROJECT)
        return job.execute_in_process(request.run_config, instance=self.instance, tags=tags, raise_on_error=False)

    def look(self):
        """One round of the daemon; returns the reasons of what was retrained for in this round."""
        before = len(self.retrainings)
        for request in self.asks():
            self.launch(request)
        return len(self.retrainings) - before

    def verdict(self, day, *, is_drifted=True, version=1, project=PROJECT):
        """What ``kedro monitor`` leaves of one day of November."""
        window = {"since": f"2026-11-{day:02}T00:00:00+00:00", "until": f"2026-11-{day + 1:02}T00:00:00+00:00"}
        folder = self.data / "08_reporting" / project / "monitoring"
        folder.mkdir(parents=True, exist_ok=True)
        document = {"project": project, "model_version": version, "window": window, "is_drifted": is_drifted}
        (folder / "latest.json").write_text(json.dumps(document | {"n_rows": 9, "alarms": ["amount"]}))

    def alerts(self):
        """The alerts' files."""
        return sorted((self.data / "08_reporting" / PROJECT / "alerts").glob("*.json"))

    def run_that_vanished(self, request, pid):
        """What a kill leaves in Dagster: a run that has started and whose process is gone."""
        run = self.instance.create_run_for_job(
            retraining_job(PROJECT),
            run_config=request.run_config,
            tags={"dagster/run_key": request.run_key, **request.tags, PID_TAG: str(pid)},
            status=dg.DagsterRunStatus.STARTED,
        )
        return run.run_id

"""Signals to runs, through Dagster's own jobs; retries, alerts, and what the journal keeps."""

import http.server
import json
import threading
from datetime import timedelta

import dagster as dg
import pytest

from modelyard.errors import ConfigurationError
from modelyard.model_registry.aliases import RegistryView
from modelyard.projects import load_project, project_names
from modelyard.retraining import definitions as retraining_definitions
from modelyard.retraining import history, retrain, signals
from modelyard.retraining.definitions import DEFINITIONS, definitions, monitoring_job, retraining_job
from modelyard.retraining.due_times import with_jitter
from modelyard.retraining.notify import WEBHOOK_VARIABLE, alert
from modelyard.retraining.retrain import PARAMS_VARIABLE, RetrainingError
from modelyard.retraining.run_requests import requests
from tests.modelyard.retraining.scheduled import PROJECT

WEEK = timedelta(days=7)


def test_every_project_has_a_job_and_a_calendar_and_the_sensors_are_for_all_of_them():
    repository = DEFINITIONS.get_repository_def()
    jobs = {f"retrain_{name}" for name in project_names()}
    for name in project_names():
        calendar = repository.get_schedule_def(f"{name}_calendar")
        assert calendar.cron_schedule == with_jitter(load_project(name).schedule, name)
        assert calendar.default_status is dg.DefaultScheduleStatus.RUNNING
    assert {sensor.name for sensor in repository.sensor_defs} == {"drift", "new_data", "missed"}
    for sensor in repository.sensor_defs:
        assert {job.name for job in sensor.jobs} == jobs
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert {job.name for job in repository.get_all_jobs()} == {*jobs, "monitor"}
    assert len(repository.schedule_defs) == len(jobs) + 1


@pytest.mark.parametrize(
    ("cron", "hours", "moves"),
    [("0 4 * * 1", "4 * * 1", True), ("50 23 1 * *", "23 1 * *", True), ("*/15 * * * *", "* * * *", False)],
)
def test_starts_are_spread_within_the_hour_by_name_alone(cron, hours, moves):
    spread = {name: with_jitter(cron, name) for name in (f"project_{number}" for number in range(29))}
    assert spread == {name: with_jitter(cron, name) for name in spread}
    minutes = [one.partition(" ")[0] for one in spread.values()]
    assert all(one.partition(" ")[2] == hours for one in spread.values())
    if moves:
        first = int(cron.partition(" ")[0])
        assert all(first <= int(minute) < 60 for minute in minutes)
        assert len(set(minutes)) >= min(18, 60 - first - 2)
    else:
        assert set(spread.values()) == {cron}


def test_a_project_that_cannot_be_imported_does_not_stop_the_others(caplog):
    found = definitions(["no_such_project", PROJECT]).get_repository_def()
    assert found.has_job(f"retrain_{PROJECT}")
    assert not found.has_job("retrain_no_such_project")
    assert "no_such_project" in caplog.text


def test_the_calendar_retrains_once_for_each_due_time(scheduler):
    assert scheduler.look() == 0, "what was due before watching began was not missed"
    scheduler.now += WEEK
    assert [scheduler.look() for _ in range(3)] == [1, 0, 0]
    scheduler.now += WEEK
    assert scheduler.look() == 1


def test_one_alarm_retrains_once_and_the_next_one_after_the_pause(scheduler):
    scheduler.look()
    scheduler.verdict(1, is_drifted=False)
    assert scheduler.look() == 0
    scheduler.verdict(2)
    assert [scheduler.look() for _ in range(3)] == [1, 0, 0]
    scheduler.verdict(24)
    assert scheduler.look() == 0, "its new version may not be champion yet"
    scheduler.now += timedelta(hours=169)
    assert [scheduler.look() for _ in range(3)] == [1, 0, 0]


def test_new_bytes_of_the_users_own_data_retrain_once(scheduler, tmp_path, monkeypatch):
    path = tmp_path / "own"
    path.mkdir()
    (path / "1.parquet").write_bytes(b"one")
    monkeypatch.setenv(PARAMS_VARIABLE, f"{PROJECT}.ingest.source=own,{PROJECT}.ingest.path={path}")
    assert scheduler.look() == 0, "the first data are known"
    (path / "2.parquet").write_bytes(b"two")
    assert [scheduler.look() for _ in range(3)] == [1, 0, 0]
    (path / "2.parquet").write_bytes(b"three")
    assert [scheduler.look() for _ in range(2)] == [1, 0]


def test_simulated_data_have_no_versions():
    assert signals.data_digest(load_project(PROJECT), {}) is None


def test_one_retraining_answers_everything_that_asks_when_it_starts(scheduler):
    scheduler.look()
    scheduler.now += WEEK
    scheduler.verdict(1)
    asked = scheduler.asks()
    assert {one.tags["modelyard/trigger"].split(":")[0] for one in asked} == {"schedule", "drift"}
    for request in asked:
        scheduler.launch(request)
    assert len(scheduler.retrainings) == 1
    assert scheduler.look() == 0


def test_a_failed_retraining_is_tried_again_with_growing_pauses(scheduler):
    (scheduler.data / "promotion.yml").write_text("retraining: {retry_delay_s: 0.1}")
    scheduler.verdict(1)
    scheduler.fails_with = [RetrainingError(False, "one"), RetrainingError(False, "two")]
    assert scheduler.look() == 3
    (record,) = scheduler.instance.get_run_records()
    logs = scheduler.instance.all_logs(record.dagster_run.run_id, of_type=dg.DagsterEventType.STEP_UP_FOR_RETRY)
    assert [one.dagster_event.step_retry_data.seconds_to_wait for one in logs] == pytest.approx([0.1, 0.3])
    assert scheduler.alerts() == []
    assert history.read(PROJECT).events[-1]["event"] == "finished"


def test_after_the_last_attempt_people_are_told_and_the_trigger_is_closed(scheduler):
    scheduler.verdict(1)
    scheduler.fails_with = [RetrainingError(False, f"attempt {number}") for number in (1, 2, 3)]
    assert [scheduler.look() for _ in range(3)] == [3, 0, 0]
    (path,) = scheduler.alerts()
    told = json.loads(path.read_text())
    assert told["project"] == PROJECT
    assert "attempt 3" in told["details"]
    assert history.read(PROJECT).events[-1]["event"] == "failed"


def test_what_cannot_get_better_is_not_tried_again(scheduler):
    scheduler.verdict(1)
    scheduler.fails_with = [RetrainingError(True, "the data break the contract")]
    assert [scheduler.look() for _ in range(2)] == [1, 0]
    assert len(scheduler.alerts()) == 1


def test_a_wrong_policy_is_an_alert_too(scheduler, monkeypatch):
    def wrong(project, triggers):
        raise ConfigurationError("The promotion policy is wrong.")

    monkeypatch.setattr(retrain, "_judge", wrong)
    scheduler.verdict(1)
    scheduler.look()
    assert "promotion policy" in scheduler.alerts()[0].read_text()


def test_without_a_champion_there_is_nothing_to_watch(scheduler):
    assert monitoring_job().execute_in_process(instance=scheduler.instance).success
    schedule = DEFINITIONS.get_repository_def().get_schedule_def("watch")
    asked = schedule.evaluate_tick(dg.build_schedule_context(scheduler.instance))
    assert asked.skip_message == "no project has a champion"


def test_one_process_watches_every_project_that_serves(scheduler, monkeypatch):
    started = []
    monkeypatch.setattr(retraining_definitions, "champions", lambda: dict.fromkeys([*project_names(), "gone"], "1"))
    monkeypatch.setattr(retraining_definitions, "kedro", lambda arguments, say: started.append(arguments) or 10)
    schedule = DEFINITIONS.get_repository_def().get_schedule_def("watch")
    (request,) = schedule.evaluate_tick(dg.build_schedule_context(scheduler.instance)).run_requests
    assert monitoring_job().execute_in_process(request.run_config, instance=scheduler.instance).success
    assert started == [["monitor", *(f"--pipeline={name}" for name in project_names())]]


@pytest.mark.parametrize(
    ("status", "is_answer"), [(0, True), (10, True), (3, True), (2, False), (5, False), (-9, False)]
)
def test_an_alarm_is_an_answer_and_an_error_a_failure(scheduler, monkeypatch, status, is_answer):
    monkeypatch.setattr(retraining_definitions, "champions", lambda: {PROJECT: "1"})
    monkeypatch.setattr(retraining_definitions, "kedro", lambda arguments, say: status)
    ended = monitoring_job().execute_in_process(instance=scheduler.instance, raise_on_error=False)
    assert ended.success is is_answer


def test_a_look_asks_the_registry_once_and_reads_unchanged_files_no_second_time(scheduler, monkeypatch):
    names, asked, read = project_names(), [], []
    aliases, parameters = RegistryView.aliases, signals._read_parameters
    monkeypatch.setattr(RegistryView, "aliases", lambda self: asked.append(1) or aliases(self))
    monkeypatch.setattr(signals, "_read_parameters", lambda *given: read.append(1) or parameters(*given))
    monkeypatch.setattr(signals, "_CONFIGURED", {})
    for looks in (1, 2):
        found = signals.situations(names, scheduler.now)
        assert list(found) == names
        assert (len(asked), len(read)) == (looks, 1)


def test_one_projects_broken_files_do_not_stop_the_others(scheduler, caplog):
    broken, other = project_names()[:2]
    folder = scheduler.data / "08_reporting" / broken / "monitoring"
    folder.mkdir(parents=True)
    (folder / "latest.json").write_text("{")
    assert list(signals.situations([broken, other], scheduler.now)) == [other]
    assert broken in caplog.text


def test_the_same_window_of_two_projects_is_two_runs(scheduler):
    names = project_names()[:2]
    for name in names:
        history.write(name, "watched")
        scheduler.verdict(1, project=name)
    asked = [one for one in requests(scheduler.instance, names, ("drift",)) if isinstance(one, dg.RunRequest)]
    assert [one.job_name for one in asked] == [f"retrain_{name}" for name in names]
    assert len({one.run_key for one in asked}) == 2


def test_a_person_starts_one_on_dagsters_page(scheduler):
    scheduler.look()
    result = retraining_job(PROJECT).execute_in_process(instance=scheduler.instance)
    assert result.success
    assert len(scheduler.retrainings) == 1
    assert history.read(PROJECT).events[-1]["keys"] == []


def test_a_real_run_that_fails_ends_with_its_last_words(data_directory, monkeypatch):
    monkeypatch.setenv(PARAMS_VARIABLE, f"{PROJECT}.ingest.source=nowhere")
    said = []
    with pytest.raises(RetrainingError, match="nowhere") as caught:
        retrain.retrain(PROJECT, [], said.append)
    assert caught.value.is_permanent
    assert any("kedro run" in line for line in said)
    assert not history.read(PROJECT).handled


@pytest.fixture
def webhook():
    """A real receiver: its address and what it got."""
    got = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # the library's name
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204 if self.path == "/ok" else 500)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_alert_reaches_log_file_and_webhook(data_directory, monkeypatch, webhook, caplog):
    address, got = webhook
    monkeypatch.setenv(WEBHOOK_VARIABLE, f"{address}/ok")
    path = alert(PROJECT, "It failed.", "at the end")
    assert got == [json.loads(path.read_text())]
    assert "It failed." in caplog.text


@pytest.mark.parametrize(
    "address", ["{}/broken?token=secret", "http://127.0.0.1:9/?token=secret", "no address, secret"]
)
def test_a_webhook_that_does_not_take_it_hides_neither_alert_nor_leaks_its_address(
    data_directory, monkeypatch, webhook, caplog, address
):
    monkeypatch.setenv(WEBHOOK_VARIABLE, address.format(webhook[0]))
    assert alert(PROJECT, "It failed.", "at the end").exists()
    assert "webhook" in caplog.text
    assert "secret" not in "".join(record.getMessage() for record in caplog.records if "modelyard" in record.name)

"""One retraining: ``kedro run`` in its own process, then the promotion policy; once for each trigger."""

import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from modelyard.errors import BusyError, ConfigurationError, DataContractError, ModelyardError
from modelyard.files import writing
from modelyard.gate import Interval
from modelyard.paths import data_directory, repository
from modelyard.retraining import history
from modelyard.retraining.decision import Trigger, should_promote, should_retrain
from modelyard.retraining.notify import alert
from modelyard.retraining.policy import promotion_policy, retraining_parameters
from modelyard.retraining.signals import champions, situations

_PERMANENT = (ConfigurationError.exit_code, DataContractError.exit_code)
"""Exit statuses of a wrong configuration and of invalid data, which a retry cannot mend."""

_LAST_LINES = 30
_EXIT_GRACE_S = 10

ENVIRONMENT_VARIABLE, PARAMS_VARIABLE = "MODELYARD_RETRAINING_ENV", "MODELYARD_RETRAINING_PARAMS"


class RetrainingError(ModelyardError):
    """A run failed.

    Args:
        is_permanent: Whether a retry would fail, too.
        found: See :class:`~modelyard.errors.ModelyardError`.
        where: See there.
        way_out: See there.
    """

    def __init__(self, is_permanent: bool, found: str, *, where: str = "", way_out: str = "") -> None:
        super().__init__(found, where=where, way_out=way_out)
        self.is_permanent = is_permanent


class Outcome(NamedTuple):
    """How a retraining ended.

    Args:
        version: The version that it registered; None: there was nothing to do.
        is_promoted: Whether the policy made it champion.
        why: The reason, for the log.
    """

    version: str | None
    is_promoted: bool
    why: str


def options() -> tuple[str, str]:
    """Returns Kedro environment and ``--params`` of all retrainings, as ``kedro schedule`` got them."""
    return os.environ.get(ENVIRONMENT_VARIABLE, ""), os.environ.get(PARAMS_VARIABLE, "")


def retrain(project: str, requested: Sequence[Trigger], say: Callable[[str], None]) -> Outcome:
    """Retrains for those of the triggers that are still open, and for every other trigger that is open by now.

    One retraining of a project runs at a time, across all schedulers of this machine: a second one waits, then finds
    the handled triggers in the journal. A kill at any moment leaves the triggers open.

    Args:
        project: The project.
        requested: The triggers; empty: a person starts it.
        say: Called with each line of the run's output.

    Raises:
        RetrainingError: The run failed.
        ModelyardError: The journal, the registry or the policy cannot be read or written.
    """
    with _one_at_a_time(project):
        done = history.read(project).handled
        open_ones = [trigger for trigger in requested if trigger.key not in done]
        if requested and not open_ones:
            return Outcome(None, False, "another retraining has handled it")
        now = situations([project], history.clock(), options=options())
        also = [one for seen in now.values() for one in should_retrain(seen, retraining_parameters()).triggers]
        triggers = list({trigger.key: trigger for trigger in (*open_ones, *also)}.values())
        keys = [trigger.key for trigger in triggers]
        history.write(project, "started", keys, pid=os.getpid(), why=[trigger.why for trigger in triggers])
        try:
            _run(project, say)
            outcome = _judge(project, triggers)
        except BaseException:  # a failure or an interruption, but no kill: it does not count as vanished
            history.write(project, "attempt_ended", keys)
            raise
        history.write(project, "finished", keys, **outcome._asdict())
    say(f"version {outcome.version}: {'promoted' if outcome.is_promoted else 'not promoted'}, {outcome.why}")
    return outcome


def give_up(project: str, triggers: Sequence[Trigger], error: str, *, event: history.Event = "failed") -> Path:
    """Closes the triggers without success, and raises an alert.

    Returns:
        The alert's file.
    """
    path = alert(project, f"The retraining of {project} failed; the champion goes on serving.", error)
    history.write(project, event, [trigger.key for trigger in triggers], error=error[-2000:])
    return path


def lock_path(project: str) -> Path:
    """Returns the file that is locked while a retraining of the project is under way."""
    return data_directory() / "locks" / f"{project}.retraining.lock"


@contextmanager
def _one_at_a_time(project: str) -> Iterator[None]:
    from filelock import FileLock

    path = lock_path(project)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(poll_interval=0.5)
    try:
        yield
    finally:
        lock.release()


def _run(project: str, say: Callable[[str], None]) -> None:
    environment, params = options()
    arguments = ["run", f"--pipeline={project}"]
    arguments += [f"--env={environment}"] if environment else []
    arguments += [f"--params={params}"] if params else []
    last: deque[str] = deque(maxlen=_LAST_LINES)

    def keep(line: str) -> None:
        last.append(line)
        say(line)

    status = kedro(arguments, keep)
    if status == BusyError.exit_code:
        raise RetrainingError(False, "Another run of the project did not end in time.", where=project)
    if status != 0:
        raise RetrainingError(
            status in _PERMANENT,
            f"The run ended with status {status}:\n" + "\n".join(last),
            where=" ".join(["kedro", *arguments]),
            way_out="see its output; a later trigger starts it again",
        )


def kedro(arguments: Sequence[str], say: Callable[[str], None]) -> int:
    """Runs a ``kedro`` command that ends with this process, if not before.

    Args:
        arguments: After ``kedro``.
        say: Called with each line of its output.

    Returns:
        Its exit status.
    """
    say(" ".join(["kedro", *arguments]))
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "modelyard.retraining.die_with_parent", str(os.getpid())),
            *(sys.executable, "-m", "kedro", *arguments),
        ],
        cwd=repository(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        for line in process.stdout or ():
            say(line.rstrip())
        return process.wait()
    finally:
        _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """Ends the run and whatever it started, when this process is interrupted."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=_EXIT_GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _judge(project: str, triggers: Sequence[Trigger]) -> Outcome:
    """Promotes the version that the run registered, if the policy allows it."""
    from modelyard.model_registry.promotion import promote

    folder = data_directory() / "08_reporting" / project
    version = str(json.loads((folder / "model_version.json").read_text(encoding="utf-8"))["version"])
    evaluation = _evaluation_of(project, version)
    gain = evaluation.get("gain")
    decision = should_promote(
        promotion_policy(project),
        reasons=[trigger.reason for trigger in triggers],
        gate_passed=evaluation["gate"]["passed"],
        gain=Interval(gain["value"], gain["low"], gain["high"]) if gain else None,
        compared_with=gain["champion_version"] if gain else None,
        champion=champions().get(project),
    )
    if decision.is_allowed:
        promote(project, version, by=f"the policy, after a retraining for {', '.join(t.reason for t in triggers)}")
    return Outcome(version, decision.is_allowed, decision.why)


def _evaluation_of(project: str, version: str) -> dict[str, Any]:
    """Reads the version's own files, so that a later run of somebody else is never taken for this one."""
    from modelyard.model_registry.aliases import RegistryView, files_of

    with files_of(RegistryView().candidate(project, version)) as folder:
        evaluation: dict[str, Any] = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    return evaluation

"""Runs the search generation by generation, and resumes a study that an earlier process left unfinished."""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from modelyard.errors import ModelyardError
from modelyard.tuning.progress import TuningProgress
from modelyard.tuning.study import configured_suggestions, generations, sample_generation
from modelyard.tuning.worker import FitTask, Outcome, PruningRule

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from modelyard.parameters import Parameters
    from modelyard.project import Device, Precision, Project
    from modelyard.tuning.parameters import TuneParameters
    from modelyard.tuning.pool import WorkerPool
    from modelyard.tuning.study import StoredStudy

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """The settings of one search.

    Args:
        fit_params: The configured fit parameters.
        tune_params: How to search.
        score_params: The project's score parameters.
        seed: Seed of the search and of every fit in it.
        device: Device of every fit (:class:`modelyard.project.FitRun`).
        precision: Precision of every fit (:class:`modelyard.project.FitRun`).
    """

    fit_params: Parameters
    tune_params: TuneParameters
    score_params: Parameters
    seed: int
    device: Device = "auto"
    precision: Precision = "auto"


@dataclass(frozen=True)
class Search:
    """The search in one study.

    Args:
        project: The project.
        stored: The study.
        pool: Worker processes.
        folder: The study's folder; holds ``examples.arrow``, and a folder for each unfinished trial.
        settings: The settings of the search.
    """

    project: Project
    stored: StoredStudy
    pool: WorkerPool
    folder: Path
    settings: SearchSettings

    def run(self, train_summary: Mapping[str, Any]) -> None:
        """Runs trials until ``n_trials`` have ended.

        Args:
            train_summary: The trained model's ``valid`` and ``reports``, for trial 0.
        """
        if not self.stored.trials(before=1):
            self._add_trained_trial(train_summary)
        tune, metrics, started = self.settings.tune_params, self.project.metrics, time.monotonic()
        with TuningProgress(
            tune.n_trials, primary=metrics.primary, greater_is_better=metrics.greater_is_better
        ) as progress:
            for trial in self._ended():
                progress.add(trial.number, trial.state.name, trial.value)
                self._track(trial)
            for index, numbers in enumerate(generations(tune.n_trials, tune.n_parallel), start=1):
                if tune.timeout_s is not None and time.monotonic() - started > tune.timeout_s:
                    logger.warning("tuning stops after %g s, before trial %d", tune.timeout_s, numbers.start)
                    break
                self._run_generation(index, numbers, progress)
        if tune.n_trials > 1 and all(trial.state.name == "FAIL" for trial in self._ended()[1:]):
            logger.warning("every trial failed; the trained model stays. Reasons: %s/trial_*/error.txt", self.folder)

    def final_model(self, trained_model: Any) -> Any:
        """Returns the best trial's model, refitted on training and validation rows together if ``refit`` is set.

        Raises:
            ModelyardError: The refit failed.
        """
        winner = self.winner()
        model = trained_model if winner.number == 0 else self._load(self._trial_task(winner))
        if not self.settings.tune_params.refit:
            return model
        if getattr(model, "params", None) is None:
            logger.warning("the winning model has no params to fit it with, so it is not refitted")
            return model
        return self._load(
            FitTask(
                label="the refit of the winner",
                params=model.params,
                score_params=None,
                folder=self.folder / f"refit_{winner.number:04d}",
                examples=self.folder / "examples.arrow",
                primary=self.project.metrics.primary,
                seed=self.settings.seed,
                n_threads=self.settings.tune_params.n_threads,
                device=self.settings.device,
                precision=self.settings.precision,
            )
        )

    def winner(self) -> FrozenTrial:
        """Returns the best completed trial, of equal ones the first; trial 0 if none has completed."""
        sign = 1 if self.project.metrics.greater_is_better else -1
        completed = [trial for trial in self._ended() if trial.state.name == "COMPLETE"]
        return max(completed, key=lambda trial: sign * cast(float, trial.value), default=self._ended()[0])

    def summary(self) -> dict[str, Any]:
        """Returns all trials and the winner as a JSON document, without times: equal inputs give equal bytes."""
        trials, winner = self._ended(), self.winner()
        metrics = self.project.metrics
        return {
            "study": self.stored.study.study_name,
            "metric": metrics.primary,
            "greater_is_better": metrics.greater_is_better,
            "states": dict(sorted(Counter(trial.state.name for trial in trials).items())),
            "trials": [
                {
                    "number": trial.number,
                    "state": trial.state.name,
                    "value": _finite(trial.value),
                    "params": dict(sorted(trial.params.items())),
                }
                for trial in trials
            ],
            "best_trial": winner.number,
            "best_value": _finite(winner.value),
            "best_params": dict(sorted(winner.params.items())),
            "valid": {
                "trained": _finite_metrics(trials[0].user_attrs.get("metrics", {})),
                "tuned": _finite_metrics(winner.user_attrs.get("metrics", {})),
            },
            "refit": self.settings.tune_params.refit,
        }

    def _add_trained_trial(self, train_summary: Mapping[str, Any]) -> None:
        import optuna

        value = float(train_summary["valid"][self.project.metrics.primary])
        params, distributions = configured_suggestions(self.project, self.settings.fit_params)
        reports = {int(step): float(report) for step, report in train_summary.get("reports", [])}
        self.stored.study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.FAIL if math.isnan(value) else optuna.trial.TrialState.COMPLETE,
                value=None if math.isnan(value) else value,
                params=params,
                distributions=distributions,
                intermediate_values=reports,
                user_attrs={"metrics": _numbers(train_summary["valid"])},
            )
        )

    def _run_generation(self, index: int, numbers: range, progress: TuningProgress) -> None:
        earlier = self.stored.trials(before=numbers.start)
        self._propose(index, numbers, earlier)
        started = self.stored.trials(before=numbers.stop)[numbers.start :]
        open_trials = [trial for trial in started if not trial.state.is_finished()]
        rule = self._pruning_rule(earlier)

        def on_end(position: int, outcome: Outcome) -> None:
            number = open_trials[position].number
            if outcome.state == "FAIL":
                logger.warning("trial %d failed: %s", number, outcome.reason)
            progress.ended(number, outcome.state, outcome.value, outcome.seconds)

        outcomes = self.pool.run([self._trial_task(trial, rule) for trial in open_trials], on_end)
        for trial, outcome in zip(open_trials, outcomes, strict=True):
            self.stored.tell(trial.number, outcome)
            self._track(self.stored.trials(before=trial.number + 1)[-1])
        self._tidy(numbers.stop)

    def _propose(self, index: int, numbers: range, earlier: Sequence[FrozenTrial]) -> None:
        """Writes the generation's trials to the storage, except those that a killed process has written already."""
        import optuna

        known = len(self.stored.trials(before=numbers.stop)) - numbers.start
        if known == len(numbers):
            return
        sampled = sample_generation(
            self.project,
            self.settings.fit_params,
            [trial for trial in earlier if trial.params],  # trial 0 may have none (see study.py)
            size=len(numbers),
            seed=self.settings.seed + index,
            n_random_trials=self.settings.tune_params.n_random_trials,
        )
        for trial in sampled[known:]:
            self.stored.study.add_trial(
                optuna.trial.create_trial(
                    state=optuna.trial.TrialState.RUNNING, params=trial.params, distributions=trial.distributions
                )
            )

    def _pruning_rule(self, earlier: Sequence[FrozenTrial]) -> PruningRule | None:
        if self.settings.tune_params.prune_after_trials is None:
            return None
        completed = [trial for trial in earlier if trial.state.name == "COMPLETE"]
        return PruningRule(
            completed=tuple((cast(float, trial.value), trial.intermediate_values) for trial in completed),
            after_trials=self.settings.tune_params.prune_after_trials,
            warmup_steps=self.settings.tune_params.prune_warmup_steps,
            greater_is_better=self.project.metrics.greater_is_better,
        )

    def _trial_task(self, trial: FrozenTrial, pruning: PruningRule | None = None) -> FitTask:
        return FitTask(
            label=f"trial {trial.number}",
            # A FrozenTrial returns the suggestions that it was created with.
            params=self.project.search_space(cast("optuna.Trial", trial), self.settings.fit_params),
            score_params=self.settings.score_params,
            folder=self._trial_folder(trial.number),
            examples=self.folder / "examples.arrow",
            primary=self.project.metrics.primary,
            seed=self.settings.seed,
            n_threads=self.settings.tune_params.n_threads,
            device=self.settings.device,
            precision=self.settings.precision,
            pruning=pruning,
        )

    def _trial_folder(self, number: int) -> Path:
        return self.folder / f"trial_{number:04d}"

    def _load(self, task: FitTask) -> Any:
        """Returns the model of a completed task, fitted again if its folder is not on this machine."""
        if not task.model_folder.is_dir():
            (task.folder / "outcome.json").unlink(missing_ok=True)
            outcome = self.pool.run([task], lambda position, outcome: None)[0]
            if outcome.state != "COMPLETE":
                raise ModelyardError(
                    f"{task.label.capitalize()} failed: {outcome.reason}",
                    where=str(task.folder / "error.txt"),
                    way_out="run again, or switch the refit off with tune.refit=false",
                )
        return self.project.model_format.load(task.model_folder)

    def _ended(self) -> list[FrozenTrial]:
        trials = self.stored.trials(before=self.settings.tune_params.n_trials)
        return [trial for trial in trials if trial.state.is_finished()]

    def _track(self, trial: FrozenTrial) -> None:
        from modelyard.tracking import journal as tracking

        tracking.log_trial(
            {
                "study": self.stored.study.study_name,
                "number": trial.number,
                "state": trial.state.name,
                "value": trial.value,
                "params": trial.params,
                "reports": sorted(trial.intermediate_values.items()),
                **trial.user_attrs,
            }
        )

    def _tidy(self, before: int) -> None:
        """Deletes the files of ended trials, except the best model and the records of failures."""
        best = self.winner().number
        for trial in self.stored.trials(before)[1:]:
            folder = self._trial_folder(trial.number)
            if trial.state.name == "FAIL":
                shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            elif trial.number != best:
                shutil.rmtree(folder, ignore_errors=True)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _finite_metrics(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _finite(value) for name, value in sorted(metrics.items())}


def _numbers(metrics: Mapping[str, float | None]) -> dict[str, float]:
    """Returns the metrics as floats; one that is undefined on the validation rows is null in the file and NaN here."""
    return {name: math.nan if value is None else float(value) for name, value in metrics.items()}

"""Train: the project's fit with the configured parameters, resumable, tracked."""

import logging
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pydantic import Field

from modelyard.lineage.run_context import available_cores, code_digest
from modelyard.lineage.table_digest import table_digest
from modelyard.parameters import Parameters, parameters_of, typed
from modelyard.project import Device, FitRun, Precision, Project
from modelyard.scoring import learning_rows, rows_of, score
from modelyard.stages.media import with_media
from modelyard.tracking import journal as tracking

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)


class RunParameters(Parameters):
    """What all stages of one run share."""

    seed: int = Field(0, ge=0, description="Seed of every random choice.")
    n_threads: int = Field(
        0, ge=0, description="CPU threads of one fit; 0: all cores. Sums in another order differ in the last digits."
    )
    device: Device = Field("auto", description="Where networks train; auto: the best device that is there.")
    precision: Precision = Field(
        "auto",
        description="What networks compute in while they train; auto: bfloat16 where the device has it in hardware."
        " Another precision is another model.",
    )


def make_train(project: Project) -> Callable[..., Any]:
    """Node function ``(examples, media, fit_params, run_params, score_params, work_folder) -> (model, summary)``.

    The summary holds the validation metrics (``valid``) and what ``fit`` reported (``reports``: [[step, value], ...]).
    """

    def train(examples: Any, media: Any, fit_params: Any, run_params: Any, score_params: Any, work_folder: Any) -> Any:
        learning = with_media(learning_rows(examples), media, project.contract)
        reports: list[list[float]] = []

        def report(step: int, value: float) -> None:
            reports.append([step, float(value)])
            tracking.log_metric(f"valid.{project.metrics.primary}", value, step)

        run = FitRun(
            seed=run_params.seed,
            folder=work_folder / "train" / fit_digest(project, learning, fit_params, run_params)[:16],
            report=report,
            n_threads=run_params.n_threads or available_cores(),
            device=run_params.device,
            precision=run_params.precision,
        )
        model = project.fit(learning, fit_params, run)
        valid = score(project, model, rows_of(learning, "valid"), score_params)
        logger.info("trained: %s %.4f on validation rows", project.metrics.primary, valid[project.metrics.primary])
        return model, {"valid": valid, "reports": reports}

    return typed(
        train,
        fit_params=parameters_of(project.fit),
        run_params=RunParameters,
        score_params=parameters_of(project.metrics.score),
    )


def fit_digest(project: Project, learning: "pl.DataFrame", fit_params: Parameters, run_params: Parameters) -> str:
    """Hex sha256 of everything that decides a fit: only a re-run of exactly this fit resumes its checkpoints."""
    parts = [
        table_digest(learning),
        fit_params.model_dump_json(),
        run_params.model_dump_json(),
        code_digest(project.name),
    ]
    return sha256("\n".join(parts).encode()).hexdigest()

"""Parameters of the hyperparameter search."""

from pydantic import Field

from modelyard.parameters import Parameters

STORAGE_VARIABLE = "MODELYARD_OPTUNA_STORAGE"
"""Environment variable with the database URL of the studies (it may hold a password, so it is not a parameter)."""


class TuneParameters(Parameters):
    """Number of trials, parallelism, time limit and pruning of the search."""

    n_trials: int = Field(
        20, ge=1, description="Trials in all; the trained model is trial 0, so 1 means no search. May be raised later."
    )
    n_parallel: int = Field(
        2,
        ge=1,
        description="Trials of one generation, run side by side as far as there are cores. Not taken from the machine:"
        " the search must not depend on where it runs.",
    )
    n_threads: int = Field(1, ge=1, description="CPU threads of each trial; sums may differ in the last bit with it.")
    n_random_trials: int = Field(
        10, ge=1, description="Trials that must have ended before suggestions are learnt from them; random until then."
    )
    prune_after_trials: int | None = Field(
        5,
        ge=1,
        description="A trial whose best report is below the median at the same step is ended early, once this many"
        " trials have completed. None: never.",
    )
    prune_warmup_steps: int = Field(1, ge=0, description="No trial is ended at a step (epoch, block) below this one.")
    timeout_s: float | None = Field(
        None,
        gt=0,
        description="No generation begins after this many seconds. How many trials fit into it depends on the"
        " machine, so results are not repeatable with it.",
    )
    refit: bool = Field(True, description="Fit the winner once more on training and validation rows together.")

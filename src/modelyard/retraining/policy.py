"""The reviewed configuration of promotion: ``mlflow/promotion.yml``."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from modelyard.errors import ConfigurationError
from modelyard.parameters import Parameters
from modelyard.paths import repository
from modelyard.projects import check_project_name

Reason = Literal["schedule", "drift", "new_data"]
"""Reasons for a retraining."""

POLICY_VARIABLE = "MODELYARD_PROMOTION_POLICY"


class PromotionPolicy(Parameters):
    """Who may make a retrained version the champion of one project."""

    policy: Literal["manual", "auto"] = Field(
        "manual", description="`manual`: a person promotes; `auto`: a retraining does, if the gain is sure."
    )
    margin: float = Field(
        0.0,
        ge=0,
        description="`auto`: the gain's whole interval must lie above this, in units of the primary metric.",
    )
    triggers: tuple[Reason, ...] = Field(
        ("schedule", "drift", "new_data"), description="`auto`: which retrainings may promote."
    )
    is_first_free: bool = Field(
        False, description="`auto`: whether a first version may become champion without a person, if its gate passed."
    )


class RetrainingParameters(Parameters):
    """Parameters of the scheduler, the same for all projects."""

    drift_pause_h: float = Field(
        168.0,
        ge=0,
        description="Hours in which one model's drift is answered by one retraining, whatever alarms again.",
    )
    max_starts: int = Field(
        3, ge=1, description="Retrainings that may vanish (killed, power cut) before a trigger is given up, with alert."
    )
    max_retries: int = Field(2, ge=0, description="Further attempts of a retraining that failed.")
    retry_delay_s: float = Field(60.0, ge=0, description="Seconds before the first of them; doubles each time.")


class _PolicyFile(Parameters):
    retraining: RetrainingParameters = Field(RetrainingParameters(), description="See RetrainingParameters.")
    default: PromotionPolicy = Field(PromotionPolicy(), description="Of projects that are not named.")
    projects: Mapping[str, PromotionPolicy] = Field({}, description="Project to its own policy, whole.")


def policy_path() -> Path:
    """``$MODELYARD_PROMOTION_POLICY``, or ``mlflow/promotion.yml``."""
    return Path(os.environ.get(POLICY_VARIABLE) or repository() / "mlflow" / "promotion.yml")


def promotion_policy(project: str) -> PromotionPolicy:
    """The policy of ``project``.

    Raises:
        ConfigurationError: The file is not there, is no YAML, has an unknown field or names an unknown project.
    """
    policies = _read()
    return policies.projects.get(project, policies.default)


def retraining_parameters() -> RetrainingParameters:
    """The same file's section ``retraining``.

    Raises:
        ConfigurationError: As for :func:`promotion_policy`.
    """
    return _read().retraining


def _read() -> _PolicyFile:
    import yaml

    path = policy_path()
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        policies = _PolicyFile.model_validate(content)
    except OSError as error:
        raise ConfigurationError(
            "The promotion policy cannot be read.", where=str(path), way_out=f"restore it, or unset {POLICY_VARIABLE}"
        ) from error
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise ConfigurationError(f"The promotion policy is not YAML: {problem}", where=str(path)) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(
            f"The promotion policy is wrong{f' at {place}' if place else ''}: {first['msg']}.",
            where=str(path),
            way_out="see src/modelyard/retraining/policy.py for its fields",
        ) from error
    for name in policies.projects:
        check_project_name(name)
    return policies

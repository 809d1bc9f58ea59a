"""A version in memory, and what it must have shown before it may answer anybody."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from modelyard.errors import DataContractError, ModelyardError, StorageError
from modelyard.feature_store.schema import schema_digest
from modelyard.model_registry.aliases import Candidate, files_of
from modelyard.model_registry.mlflow_model import FILES_TAG, load
from modelyard.model_registry.registration import SCHEMA_TAG
from modelyard.model_registry.signing import check_signature
from modelyard.serving.inputs import decoded

if TYPE_CHECKING:
    import polars as pl
    from pydantic import BaseModel

    from modelyard.project import Project

Reason = Literal["gate", "schema", "signature", "files", "smoke"]


class RefusalError(ModelyardError):
    """A version that must not serve.

    Args:
        reason: Which check it failed.
        found: What was found.
        where: The version.
        way_out: What helps.
    """

    def __init__(self, reason: Reason, found: str, *, where: str = "", way_out: str = "") -> None:
        super().__init__(found, where=where, way_out=way_out)
        self.reason = reason


class NotANumberError(DataContractError):
    """An answer holds NaN or infinity, which JSON does not have."""


class Answered(NamedTuple):
    """N predictions.

    Args:
        predictions: What ``Api.answer`` or ``predict`` returned, N rows.
        responses: What ``encode`` made of them.
    """

    predictions: "pl.DataFrame"
    responses: "list[BaseModel]"


@dataclass(frozen=True, kw_only=True)
class LoadedVersion:
    """One version, ready to answer; never changed after it was made.

    Args:
        project: The project's record.
        version: Number in the registry.
        identity: See :class:`modelyard.model_registry.aliases.Candidate`.
        model: The project's model.
    """

    project: "Project"
    version: str
    identity: tuple[str, str]
    model: Any

    def answer(self, inputs: "pl.DataFrame") -> Answered:
        """Predicts and encodes with this version.

        Args:
            inputs: What :func:`modelyard.serving.inputs.decoded` returned, N rows.

        Raises:
            ValueError: The project did not answer each request once.
            NotANumberError: An answer holds NaN or infinity.
        """
        predictions = (self.project.api.answer or self.project.predict)(self.model, inputs)
        responses = self.project.api.encode(predictions)
        if len(responses) != inputs.height:
            raise ValueError(f"{inputs.height} requests got {len(responses)} answers")
        _check_numbers(responses)
        return Answered(predictions, responses)


def _check_numbers(responses: "Sequence[BaseModel]") -> None:
    for response in responses:
        for name, value in vars(response).items():
            if not _is_finite(value):
                raise NotANumberError(
                    f"The model's answer to these values is not a number: {name}.",
                    way_out="give values of the size that the data have",
                )


def _is_finite(value: Any) -> bool:
    """Whether no number in a value, or in its lists, is NaN or infinite."""
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return type(value) is not float or math.isfinite(value)


def load_checked(project: "Project", candidate: Candidate) -> LoadedVersion:
    """Loads a version beside whatever serves and lets it show that it works.

    Raises:
        RefusalError: Its gate did not pass, it knows other features than this code, its files do not load, or it does
            not answer the project's example.
    """
    check_tags(project, candidate)
    return load_working(project, candidate)


def load_working(project: "Project", candidate: Candidate) -> LoadedVersion:
    """Loads a version, whatever its gate said, and lets it show that it works.

    Raises:
        RefusalError: It knows other features than this code, its files do not load, or it does not answer the project's
            example.
    """
    where = f"{candidate.project} version {candidate.version}"
    _check_schema(project, candidate)
    _check_signed(candidate)
    try:
        with files_of(candidate) as folder:
            model = load(folder, candidate.tags.get(FILES_TAG, ""))
    except Exception as error:  # whatever a project's loader meets: the version is refused, with the reason
        raise RefusalError(
            "files", f"Its files do not load: {_told(error)}", where=where, way_out="register it again"
        ) from error
    version = LoadedVersion(project=project, version=candidate.version, identity=candidate.identity, model=model)
    try:
        check_example(version)
    except Exception as error:  # as above
        raise RefusalError(
            "smoke",
            f"It does not answer the project's example: {_told(error)}",
            where=where,
            way_out="see whether the code fits the version, or register it again",
        ) from error
    return version


def check_tags(project: "Project", candidate: Candidate) -> None:
    """Checks what the registry says of the version.

    Raises:
        RefusalError: The gate did not pass, the features are others than this code's, or a key is set that did not sign
            the version.
    """
    where = f"{candidate.project} version {candidate.version}"
    gate = candidate.tags.get("gate", "missing")
    if gate != "passed":
        reason = candidate.tags.get("gate_reason", "")
        raise RefusalError(
            "gate",
            f"Its gate says '{gate}'" + (f": {reason}" if reason else "."),
            where=where,
            way_out="train a better one; or correct its tag 'gate' in MLflow if you know better",
        )
    _check_schema(project, candidate)
    _check_signed(candidate)


def _check_schema(project: "Project", candidate: Candidate) -> None:
    if candidate.tags.get(SCHEMA_TAG, "") not in ("", schema_digest(project.feature_views)):
        raise RefusalError(
            "schema",
            "It was trained on another feature schema than this code's.",
            where=f"{candidate.project} version {candidate.version}",
            way_out="serve it with the commit it was trained at, or train again",
        )


def _check_signed(candidate: Candidate) -> None:
    try:
        check_signature(candidate.project, candidate.version, candidate.tags)
    except StorageError as error:
        raise RefusalError("signature", error.found, where=error.where, way_out=error.way_out) from error


def check_example(version: LoadedVersion) -> None:
    """Checks that the project's example gets one answer that its response model accepts; NaN does not pass.

    Raises:
        ValueError: It does not.
    """
    api = version.project.api
    (response,) = version.answer(decoded(version.project, [api.example])).responses
    api.response.model_validate_json(response.model_dump_json())


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"

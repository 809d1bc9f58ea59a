"""The interface between a project and the shared code (the spine).

A project is a frozen record of plain functions and plain values. The spine wires them into a Kedro pipeline
(:mod:`modelyard.lifecycle`) and treats all projects alike.

Shapes used throughout: ``records``, ``examples`` and ``predictions`` are polars frames with one row per example.
``examples`` are the accepted records joined point in time with the features, plus ``split``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from modelyard.gate import standard_gate

if TYPE_CHECKING:
    import optuna
    import polars as pl
    from great_expectations.expectations.expectation import Expectation
    from matplotlib.figure import Figure
    from pydantic import BaseModel

    from modelyard.feature_store.schema import FeatureView
    from modelyard.gate import Evaluation, GateParameters, Verdict
    from modelyard.parameters import Parameters
    from modelyard.play.description import Play
    from modelyard.records import Contract


Device = Literal["auto", "cuda", "mps", "cpu"]
Precision = Literal["auto", "float32", "bfloat16"]


class Model(Protocol):
    """What ``fit`` returns: any object whose ``params`` suffice to fit it again without a validation split.

    Early stopping, a blend weight or a calibration chosen on validation rows are written into ``params`` as fixed
    values, so that the best trial can be refitted on training and validation rows together.
    """

    @property
    def params(self) -> Any:
        """The project's own parameter model, with everything that validation rows decided filled in."""


class Pruned(Exception):  # noqa: N818 - not an error: an unpromising trial ends so
    """Raised by :attr:`FitRun.report` to stop an unpromising trial; ``fit`` must not catch it."""


@dataclass(frozen=True, kw_only=True)
class FitRun:
    """What one call of ``fit`` gets from the lifecycle.

    Args:
        seed: Seed of every random choice; the same seed and inputs give the same model.
        folder: Folder for checkpoints. A run repeated after a kill gets the same folder for the same inputs, so that
            ``fit`` can resume.
        report: Called as ``report(step, value)`` with the primary metric on validation rows, or a less noisy
            measure of the same direction, after each epoch or block of boosting rounds; it raises :class:`Pruned` to
            stop an unpromising trial (do not catch it).
        n_threads: CPU threads this fit may use.
        device: Where to train: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        precision: Number format of the forward and backward pass: ``auto``, ``float32`` or ``bfloat16``.
    """

    seed: int
    folder: Path
    report: Callable[[int, float], None]
    n_threads: int
    device: Device = "auto"
    precision: Precision = "auto"


@dataclass(frozen=True, kw_only=True)
class ModelFormat:
    """How a model is saved and loaded, without pickle.

    Args:
        save: ``save(model, folder)`` writes safetensors, XGBoost's own format and JSON into an empty folder.
        load: ``load(folder)`` returns an equal model; predictions are the same to the bit.
    """

    save: Callable[[Any, Path], None]
    load: Callable[[Path], Any]


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """How predictions are scored, and the trivial rule they are compared with.

    ``measure``, ``score`` and ``once`` take the same parameter model.

    Args:
        score: ``score(rows, params)`` returns metric name to value for a frame of records joined with predictions
            (with what ``measure`` returned, where a project has it); called on validation rows, on test rows, and on
            bootstrap resamples of them, so keep it quick. Names are scikit-learn's scorer names where they exist. A
            metric that is undefined on the rows is NaN. The order is that of importance: summaries and READMEs show
            the primary metric and the first six others, files hold all of them.
        primary: The metric that tuning optimises and the gate judges; one of those that ``score`` returns.
        greater_is_better: Direction of ``primary``.
        floor: ``floor(train, test)`` returns predictions for the rows of ``test``, which come without the target, from
            a trivial rule; the same columns as ``predict`` returns.
        slices: Columns of the records; metrics are also reported for each of their values.
        measure: ``measure(examples, predictions, params)`` returns per-row statistics (overlap with a mask, n-gram
            counts, log-likelihoods): N rows in the order of ``examples``, without columns of the records. It is called
            once for each model, and sees the target and all media. None: ``score`` works on the predictions.
        once: ``once(rows, params)`` returns metrics that are reported without an interval, because a resample does not
            have them (a p-value, a distance of distributions). ``rows`` are those of ``score``.
    """

    score: Callable[[pl.DataFrame, Any], dict[str, float]]
    primary: str
    greater_is_better: bool
    floor: Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]
    slices: tuple[str, ...] = ()
    measure: Callable[[pl.DataFrame, pl.DataFrame, Any], pl.DataFrame] | None = None
    once: Callable[[pl.DataFrame, Any], dict[str, float]] | None = None


@runtime_checkable
class EncodedMedia(Protocol):
    """A value of a request that may cost far more to decode than to read, such as a picture.

    The server validates a request with its media as they came, counts its :class:`Budget`, and only then decodes them.
    """

    def decode_media(self) -> None:
        """Decodes the value and keeps the result with it.

        Raises:
            ValueError: It is damaged, or not what the project takes.
        """


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Limits the work that one request may cause.

    Args:
        of: ``of(request)`` returns the work that one row causes, from what is cheap to read: frames to compose, the
            pixels that an image's header declares. It reads no field that a feature view fills.
        most: Largest sum over the rows of one request; a larger one is answered with status 413.
        unit: Unit of the work, for messages (``pixels``).
    """

    of: Callable[[Any], float]
    most: float
    unit: str


@dataclass(frozen=True, kw_only=True)
class LoggedMedia:
    """How many of the media in requests are kept for people to look at.

    Args:
        share: Share of requests whose media are kept, 0 to 1.
        retention_days: Days until they are deleted.
    """

    share: float
    retention_days: float


@dataclass(frozen=True, kw_only=True)
class Api:
    """The project's prediction service: its request and response schemas, and how they become frames.

    Args:
        request: One example as a client sends it.
        response: The response to one request.
        decode: ``decode(requests)`` returns a frame that ``predict`` takes.
        encode: ``encode(answers)`` returns one response for each request, in order.
        example: A valid request; the registered model's input example and the server's smoke test.
        answer: ``answer(model, frame)`` returns the frame that ``encode`` takes, for decoded requests (M rows). None:
            what ``predict`` returns.
        timeout_s: Seconds until a request is answered with status 504. None: the server's setting.
        max_rows: Largest number of rows of one request; a larger one is answered with status 413. None: the server's
            setting.
        budget: See :class:`Budget`. None: only rows and bytes are limited.
        stream: ``stream(model, frame)`` yields the answer to one decoded request (M = 1) piece by piece, as values that
            JSON can hold; served as ``text/event-stream`` on a separate route, in a thread beside the predictions, so
            it must not change the model. None: the project has no such route.
        logged_media: Which of the contract's media in ``decode``'s frame are kept. None: none at all.
    """

    request: type[BaseModel]
    response: type[BaseModel]
    decode: Callable[[Sequence[Any]], pl.DataFrame]
    encode: Callable[[pl.DataFrame], list[Any]]
    example: Any
    answer: Callable[[Any, pl.DataFrame], pl.DataFrame] | None = None
    timeout_s: float | None = None
    max_rows: int | None = None
    budget: Budget | None = None
    stream: Callable[[Any, pl.DataFrame], Iterator[Any]] | None = None
    logged_media: LoggedMedia | None = None


@dataclass(frozen=True, kw_only=True)
class Project:
    """One production ML system.

    Args:
        name: snake_case noun, the same in folder, Kedro namespace, conf, data, tests, MLflow and route.
        title: The name that people read.
        contract: Columns, key, target and media of the records.
        ingest: ``ingest(params)`` returns raw records from the configured source (``simulated``, ``public``,
            ``own``). No other stage reads external data.
        expectations: ``expectations(params)`` returns Great Expectations expectations on the records; ``params`` are
            those of ``ingest``.
        feature_views: The features' schema; empty where the model uses only the columns of the row itself.
        derive_features: ``derive_features(records, params)`` returns view name to frame (entity, ``event_time``,
            features); a row may only use what was known at its ``event_time``. None where there are no views.
        fit: ``fit(examples, params, run)`` returns a :class:`Model`; ``examples`` hold the splits ``train`` and
            ``valid`` only. Without ``valid`` rows it follows ``params`` exactly, with no early stopping.
        search_space: ``search_space(trial, params)`` returns ``params`` with the trial's suggestions.
        model_format: See :class:`ModelFormat`.
        predict: ``predict(model, examples)`` returns the prediction columns for the same rows in the same order;
            ``examples`` come without the target and without media that are targets.
        metrics: See :class:`Metrics`.
        figures: ``figures(rows, model)`` returns file stem to matplotlib figure, from the test rows with
            predictions, features and media.
        api: See :class:`Api`.
        schedule: Cron expression of the regular retraining.
        gate: ``gate(evaluation, params)`` returns whether the model may become champion, with a reason.
        play: What the page to try the model on shows; see :class:`modelyard.play.description.Play`.
    """

    name: str
    title: str
    contract: Contract
    ingest: Callable[[Any], pl.DataFrame]
    expectations: Callable[[Any], list[Expectation]]
    fit: Callable[[pl.DataFrame, Any, FitRun], Model]
    search_space: Callable[[optuna.Trial, Any], Parameters]
    model_format: ModelFormat
    predict: Callable[[Any, pl.DataFrame], pl.DataFrame]
    metrics: Metrics
    figures: Callable[[pl.DataFrame, Any], Mapping[str, Figure]]
    api: Api
    schedule: str
    feature_views: tuple[FeatureView, ...] = ()
    derive_features: Callable[[pl.DataFrame, Any], dict[str, pl.DataFrame]] | None = None
    gate: Callable[[Evaluation, GateParameters], Verdict] = field(default=standard_gate)
    play: Play | None = None

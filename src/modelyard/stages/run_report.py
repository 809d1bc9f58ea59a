"""The report of a run: one self-contained page that says what was asked, how good the answer is, and shows it."""

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from modelyard.project import Project
from modelyard.records import Contract, Media

if TYPE_CHECKING:
    import polars as pl

_TEMPLATE = Path(__file__).with_name("run_report.html.j2")
_N_EXAMPLES = 12
_SEED = 0
_MAX_CHARACTERS = 80
_N_PUBLISHED = 4


class Mark(NamedTuple):
    """One value of the primary metric on the bar.

    Args:
        name: What has it.
        value: The metric.
        kind: ``ours``, ``floor``, ``champion`` or ``published``.
        place: 0 to 100, from left to right.
    """

    name: str
    value: float
    kind: str
    place: float


def make_illustrate(project: Project) -> Callable[..., str]:
    """Returns the node function that writes the page.

    Its inputs are the evaluation, the run record, the validation's summary, the registered version, the predictions of
    the test rows, the media, and the files of the figures; its output is HTML without scripts, and without anything
    that is fetched from elsewhere.
    """

    def illustrate(
        evaluation: Any, record: Any, validation: Any, version: Any, predictions: Any, media: Any, figures: Any
    ) -> str:
        from jinja2 import Environment

        environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        environment.filters["number"] = _number
        marks, interval = _marks(project, evaluation, record)
        return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
            project=project,
            evaluation=evaluation,
            record=record,
            validation=validation,
            version=version,
            sentences=_sentences(project, evaluation),
            marks=marks,
            interval=interval,
            examples=_examples(project.contract, predictions, media),
            figures=[(path.stem.replace("_", " "), _data_uri(path.read_bytes())) for path in figures],
        )

    return illustrate


def _sentences(project: Project, evaluation: Mapping[str, Any]) -> list[str]:
    """Returns what was asked, how good the answer is, and whether it may serve."""
    primary = evaluation["primary"]
    ours, floor = evaluation["metrics"][primary], evaluation["floor"][primary]
    interval = (
        "" if _is_undefined(ours["low"]) else f" (95 % interval {_number(ours['low'])} to {_number(ours['high'])})"
    )
    direction = "more is better" if evaluation["greater_is_better"] else "less is better"
    against = f"A trivial rule gets {_number(floor)} on the same rows"
    if evaluation["champion"]:
        against += f", today's champion {_number(evaluation['champion'][primary])}"
    return [
        (project.play.question if project.play else project.title),
        f"On {evaluation['n_test']:,} rows that training and tuning never saw, {primary} is {_number(ours['value'])}"
        f"{interval}; {direction}. {against}." + (f" {project.play.meaning}" if project.play else ""),
        ("It may serve: " if evaluation["gate"]["passed"] else "It must not serve: ")
        + f"{evaluation['gate']['reason']}.",
    ]


def _marks(
    project: Project, evaluation: Mapping[str, Any], record: Mapping[str, Any]
) -> tuple[list[Mark], tuple[float, float] | None]:
    """Returns the values on the bar, and where our interval begins and ends, 0 to 100."""
    primary = evaluation["primary"]
    ours = evaluation["metrics"][primary]
    values = [("this model", ours["value"], "ours"), ("trivial rule", evaluation["floor"][primary], "floor")]
    if evaluation["champion"]:
        values.append(("champion", evaluation["champion"][primary], "champion"))
    values += [(name, value, "published") for name, value in _published(project, record)]
    values = [each for each in values if not _is_undefined(each[1])]
    ends = [value for _, value, _ in values] + [end for end in (ours["low"], ours["high"]) if not _is_undefined(end)]
    if not ends:
        return [], None
    low, high = min(ends), max(ends)
    span = high - low or abs(high) or 1.0

    def place(value: float) -> float:
        return float(round(4 + 92 * (value - low) / span, 2))

    interval = None if _is_undefined(ours["low"]) else (place(ours["low"]), place(ours["high"]))
    return [Mark(name, value, kind, place(value)) for name, value, kind in values], interval


def _published(project: Project, record: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Returns the best published results in the primary metric, on the public data that the run used."""
    from modelyard.public_data.catalogue import best_published

    dataset = record["parameters"]["ingest"].get("dataset", "")
    if record["source"] != "public" or not dataset:
        return []
    metrics = project.metrics
    found = best_published(dataset, metrics.primary, greater_is_better=metrics.greater_is_better, most=_N_PUBLISHED)
    return [(one.method + (" (as remembered)" if one.evidence == "memory" else ""), value) for one, value in found]


def _examples(contract: Contract, predictions: "pl.DataFrame", media: "pl.DataFrame") -> dict[str, Any]:
    """Returns a dozen rows of the test part, drawn at random: headings, and cells with their pictures.

    Sensitive columns are left out. The target stands first, then what was predicted, then the other columns.
    """
    drawn = predictions.sample(min(_N_EXAMPLES, predictions.height), seed=_SEED)
    known = {column.name: column for column in contract.columns}
    shown = [name for name in drawn.columns if not (name in known and known[name].sensitive)]
    first = [contract.target] if contract.target in shown else []
    names = [
        *first,
        *(name for name in shown if name not in known),
        *(n for n in shown if n in known and n not in first),
    ]
    pictures = [one for one in contract.media if _is_picture(one) and one.name in media.columns]
    if pictures:
        keys = drawn.select(contract.key)
        seen = keys.join(media.select(contract.key, *(one.name for one in pictures)), on=contract.key, how="left")
        shots = [
            [_data_uri(_png(values, one)) for one, values in zip(pictures, row, strict=True) if values is not None]
            for row in seen.select(one.name for one in pictures).iter_rows()
        ]
    else:
        shots = [[] for _ in range(drawn.height)]
    rows = [
        {"pictures": pictures_of_row, "cells": [_cell(row[name]) for name in names]}
        for row, pictures_of_row in zip(drawn.iter_rows(named=True), shots, strict=True)
    ]
    n_predicted = sum(name not in known for name in names) + len(first)
    return {"names": names, "rows": rows, "n_predicted": n_predicted, "has_pictures": bool(pictures)}


def _is_picture(media: Media) -> bool:
    sizes = media.shape
    return (
        media.dtype == "uint8" and None not in sizes and (len(sizes) == 2 or (len(sizes) == 3 and sizes[2] in (1, 3)))
    )


def _png(values: Sequence[int], media: Media) -> bytes:
    import numpy as np
    from PIL import Image

    pixels = np.asarray(values, dtype=np.uint8).reshape([size or -1 for size in media.shape]).squeeze()
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return _number(value)
    text = str(value)
    return text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "…"


def _is_undefined(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"

"""The report of a run: whole in one file, with the answer first, and nothing that its reader must not see."""

import re
from dataclasses import replace

import polars as pl
import pytest

from modelyard.projects import load_project
from modelyard.records import Column
from modelyard.stages.run_report import make_illustrate

MEDICAL = load_project("medical_image_analysis")
NAN = float("nan")


def _evaluation(**changes):
    metrics = {
        "roc_auc": {"value": 0.9, "low": 0.85, "high": 0.95},
        "accuracy": {"value": 0.8, "low": NAN, "high": NAN},
    }
    return {
        "n_test": 4,
        "primary": "roc_auc",
        "greater_is_better": True,
        "shown": ["roc_auc"],
        "metrics": metrics,
        "floor": {"roc_auc": 0.7, "accuracy": 0.6},
        "champion": None,
        "gate": {"passed": True, "reason": "roc_auc 0.9 beats the floor"},
        "slices": [{"column": "scanner_id", "value": "<b>", "n_rows": 3, "metrics": {"roc_auc": 0.5}}],
        "splits": {"test": 4, "train": 8},
    } | changes


RECORD = {
    "source": "simulated",
    "environment": "ci",
    "parameters": {"ingest": {"dataset": "pneumonia_mnist"}},
    "device": {"name": "a CPU"},
    "precision": "float32",
    "seed": 0,
    "commit": "c" * 40,
    "is_dirty": False,
    "library_versions": {"torch": "2"},
    **dict.fromkeys(
        ("data_digest", "contract_digest", "feature_schema_digest", "code_digest", "lock_digest"), "d" * 64
    ),
}
VALIDATION = {"n_ingested": 5, "n_accepted": 4, "n_rejected": 1}
VERSION = {"version": 3, "aliases": ["challenger"]}


def _page(tmp_path, project=MEDICAL, record=RECORD, **changes):
    shape = project.contract.media[0].shape
    n_values = 1
    for size in shape:
        n_values *= size
    keys = [f"exam_{number}" for number in range(4)]
    predictions = pl.DataFrame(
        {
            "exam_id": keys,
            "is_pneumonia": [True, False, True, False],
            "scanner_id": ["<script>alert(1)</script>"] * 4,
            "score": [0.9, 0.1, None, 0.25],
        }
    )
    media = pl.DataFrame(
        {"exam_id": keys, "image": pl.Series([[100] * n_values] * 4, dtype=pl.Array(pl.UInt8, n_values))}
    )
    figure = tmp_path / "ranking.png"
    figure.write_bytes(b"\x89PNG")
    evaluation = _evaluation(**changes)
    return make_illustrate(project)(evaluation, record, VALIDATION, VERSION, predictions, media, [figure])


def test_the_answer_stands_first_and_everything_is_inside(tmp_path):
    page = _page(tmp_path)
    assert page.index("It may serve") < page.index("Pictures") < page.index("Where it comes from")
    assert "0.9 (95 % interval 0.85 to 0.95)" in page
    assert "kedro quarantine show medical_image_analysis" in page
    assert page.count("data:image/png;base64,") == 1 + 4
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page == _page(tmp_path)


def test_a_model_that_must_not_serve_is_said_to(tmp_path):
    page = _page(tmp_path, gate={"passed": False, "reason": "roc_auc is below the floor"})
    assert "It must not serve: roc_auc is below the floor." in page


def test_every_mark_is_on_the_bar_and_better_is_named(tmp_path):
    record = RECORD | {"source": "public"}
    page = _page(tmp_path, record=record, champion={"roc_auc": 0.88, "accuracy": 0.7})
    kinds = re.findall(r'<b class="(\w+)" style="left:([\d.]+)%"', page)
    assert {kind for kind, _ in kinds} == {"ours", "floor", "champion", "published"}
    places = {kind: float(place) for kind, place in kinds if kind != "published"}
    assert 0 < places["floor"] < places["champion"] < places["ours"] < 100
    assert "better is right" in page
    assert "better is left" in _page(tmp_path, greater_is_better=False)


def test_a_metric_without_a_value_has_no_mark(tmp_path):
    undefined = {"roc_auc": {"value": NAN, "low": None, "high": None}}
    page = _page(tmp_path, metrics=undefined, floor={"roc_auc": None}, slices=[])
    assert '<b class="' not in page


@pytest.mark.parametrize("is_sensitive", [False, True])
def test_what_is_sensitive_is_not_shown(tmp_path, is_sensitive):
    columns = tuple(
        Column(name=one.name, dtype=one.dtype, description=one.description, sensitive=is_sensitive)
        if one.name == "scanner_id"
        else one
        for one in MEDICAL.contract.columns
    )
    page = _page(tmp_path, project=replace(MEDICAL, contract=replace(MEDICAL.contract, columns=columns)))
    assert ("&lt;script&gt;" in page) != is_sensitive

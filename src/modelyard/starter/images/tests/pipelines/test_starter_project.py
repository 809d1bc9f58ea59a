"""What a picture tells: a darker crack is more risk; own folders are read, and what is no picture is refused."""

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from pipelines.starter_project.data import FORMAT, IngestParameters, ingest
from pipelines.starter_project.evaluate import predict
from pipelines.starter_project.serve import PartRequest
from tests.pipelines.starter_project.small import png


def test_a_darker_crack_is_not_safer(trained):
    pictures = np.full((2, *FORMAT.shape), 150, np.uint8)
    pictures[0, 16], pictures[1, 16] = 145, 60
    rows = pl.DataFrame({"image": pl.Series(pictures.reshape(2, -1))})
    safe, risky = predict(trained.model, rows)["failure_probability"]
    assert safe < risky


def test_a_folder_with_a_sub_folder_for_each_class_is_read(trained, tmp_path):
    for name, pixels in zip(("sound", "failing"), trained.examples["image"].head(2), strict=True):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(png(pixels))
    (tmp_path / "sound" / "2.jpg").write_text("no picture")
    records = ingest(IngestParameters(source="own", path=str(tmp_path))).sort("picture_id")
    assert records["is_failing"].to_list() == [True, False, False]
    assert records["image"][1].to_list() == trained.examples["image"][0].to_list()
    assert [problem is None for problem in records["parse_errors"]] == [True, True, False]


def test_a_request_without_a_picture_is_refused():
    with pytest.raises(ValidationError, match="neither a PNG nor a JPEG"):
        PartRequest.model_validate({"image": "bm8gcGljdHVyZQ=="})

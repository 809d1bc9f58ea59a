"""What a note tells: complaints are more risk; unknown words and long notes are answered; own tables are read."""

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.starter_project.data import IngestParameters, ingest
from pipelines.starter_project.evaluate import predict
from pipelines.starter_project.serve import PartRequest, decode


def risks(model, *notes):
    return predict(model, decode([PartRequest(note=note) for note in notes]))["failure_probability"].to_list()


def test_a_complaint_is_not_safer_than_praise(trained):
    calm, worried = risks(trained.model, "The fan runs smoothly.", "Metal dust under the fan. The fan is hot.")
    assert calm < worried


def test_unknown_words_and_very_long_notes_are_answered(trained):
    assert np.isfinite(risks(trained.model, "Bonjour", "?", "hot " * 4000)).all()


def test_words_of_later_rows_are_not_in_the_vocabulary(trained):
    train = " ".join(trained.rows("train")["note"]).lower()
    assert all(word in train for word in trained.model.tokenizer.words)


def test_an_own_table_is_read_and_a_missing_note_has_no_words(tmp_path):
    (tmp_path / "notes.csv").write_text(
        "note_id,event_time,note,is_failing\n"
        'N-007,2024-01-01T00:00:00Z,"The fan is hot, the pump too.",true\n'
        "2,2024-01-02T00:00:00Z,,false\n"
    )
    records = ingest(IngestParameters(source="own", path=str(tmp_path / "notes.csv")))
    assert records["note_id"].to_list() == ["N-007", "2"]
    assert records["n_words_count"].to_list() == [9, 0]
    assert records["note"].to_list() == ["The fan is hot, the pump too.", ""]


def test_a_request_without_a_note_is_refused():
    with pytest.raises(ValidationError, match="at least 1 character"):
        PartRequest(note="")

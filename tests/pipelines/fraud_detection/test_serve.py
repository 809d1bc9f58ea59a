"""The API: the same answers as in batch, and requests that make no sense are refused."""

import json
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from pydantic import ValidationError

from modelyard.feature_store.schema import feature_names
from modelyard.model_registry.mlflow_model import signature
from pipelines.fraud_detection.evaluate import predict
from pipelines.fraud_detection.features import FEATURE_VIEWS
from pipelines.fraud_detection.serve import EXAMPLE, FraudRequest, FraudResponse, decode, encode

TRANSACTION = ("event_time", "customer_id", "terminal_id", "amount")


def request(**changes):
    return FraudRequest.model_validate(EXAMPLE.model_dump() | changes)


def test_a_request_has_the_transaction_and_every_feature():
    assert list(FraudRequest.model_fields) == [*TRANSACTION, *feature_names(FEATURE_VIEWS), "further"]


def test_the_example_survives_json_and_is_answered(trained):
    again = FraudRequest.model_validate_json(json.dumps(EXAMPLE.model_dump(mode="json")))
    assert again == EXAMPLE
    (answer,) = encode(predict(trained.model, decode([again])))
    assert 0 <= answer.fraud_probability <= 1


def test_an_alert_comes_with_at_most_three_reasons(trained):
    rows = trained.rows("test")
    answers = [answer for answer in encode(predict(trained.model, rows)) if answer.is_alert]
    assert answers
    assert max(len(answer.reasons) for answer in answers) <= 3
    assert all(reason.strip() for answer in answers for reason in answer.reasons)


def test_unknown_features_may_be_left_out(trained):
    bare = FraudRequest.model_validate({name: getattr(EXAMPLE, name) for name in TRANSACTION})
    alone, mixed = predict(trained.model, decode([bare])), predict(trained.model, decode([bare, EXAMPLE]))
    assert np.isfinite(alone["score"][0])
    assert mixed["score"][0] == pytest.approx(alone["score"][0], rel=1e-5)


def test_short_lists_are_padded_in_front(trained):
    lists = [name for name in FraudRequest.model_fields if name.startswith("customer_recent_") and "length" not in name]
    padded = {name: [0.0] * 10 + getattr(EXAMPLE, name) for name in lists}
    short, long = predict(trained.model, decode([EXAMPLE])), predict(trained.model, decode([request(**padded)]))
    assert short["score"][0] == pytest.approx(long["score"][0], rel=1e-5)
    unsaid = predict(trained.model, decode([request(customer_recent_length=None)]))
    assert unsaid["score"][0] == pytest.approx(short["score"][0], rel=1e-5)


def test_a_time_in_another_zone_is_the_same_moment(trained):
    there = EXAMPLE.event_time.astimezone(timezone(timedelta(hours=9)))
    assert decode([request(event_time=there)]).equals(decode([EXAMPLE]))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": -1.0}, "amount"),
        ({"amount": float("nan")}, "amount"),
        ({"amount": 1e18}, "amount"),
        ({"customer_id": True}, "customer_id"),
        ({"customer_id": " "}, "customer_id"),
        ({"terminal_id": 7.5}, "terminal_id"),
        ({"terminal_id": None}, "terminal_id"),
        ({"customer_tx_count_7d": 10**18}, "customer_tx_count_7d"),
        ({"terminal_activity_1d": 10**18}, "terminal_activity_1d"),
        ({"customer_amount_mean_30d": 1e18}, "customer_amount_mean_30d"),
        ({"customer_recent_amounts": [1e18]}, "customer_recent_amounts"),
        ({"event_time": datetime(2024, 5, 17)}, "event_time"),  # no zone
        ({"terminal_risk_7d": 1.5}, "terminal_risk_7d"),
        ({"customer_tx_count_7d": -3}, "customer_tx_count_7d"),
        ({"customer_tx_count_7d": 2.5}, "customer_tx_count_7d"),
        ({"customer_recent_amounts": []}, "customer_recent_amounts"),
        ({"customer_recent_amounts": [1.0] * 300}, "customer_recent_amounts"),
        ({"customer_recent_amounts": [1.0, -1.0]}, "customer_recent_amounts"),
        ({"customer_recent_amounts": [1.0, float("inf")]}, "customer_recent_amounts"),
        ({"customer_tx_cuont_7d": 3}, "customer_tx_cuont_7d"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(changes, field):
    with pytest.raises(ValidationError) as refused:
        request(**changes)
    assert [error["loc"][0] for error in refused.value.errors()] == [field]


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("TX-00000194", "TX-00000194"),
        ("0007", "0007"),
        (" A 1 ", "A 1"),
        (1734, "1734"),
        (7.0, "7"),
        (2**70, f"{2**70}"),
    ],
)
def test_an_identifier_is_text_or_a_whole_number(sent, meant):
    read = FraudRequest.model_validate_json(
        json.dumps(EXAMPLE.model_dump(mode="json") | {"customer_id": sent, "terminal_id": sent})
    )
    assert (read.customer_id, read.terminal_id) == (meant, meant)
    assert decode([read])["customer_id"].to_list() == [meant]
    described = FraudRequest.model_json_schema()["properties"]["customer_id"]
    assert [option["type"] for option in described["anyOf"]] == ["string", "integer"]


def test_mlflow_can_describe_requests_and_responses():
    described = signature(FraudRequest, FraudResponse)
    assert described.inputs.input_names() == list(FraudRequest.model_fields)
    assert set(described.inputs.required_input_names()) == set(TRANSACTION)

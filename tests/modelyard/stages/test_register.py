from modelyard.stages.register import register


def test_another_precision_is_another_model() -> None:
    names = ("project", "data_digest", "code_digest", "lock_digest", "parameters", "feature_schema_digest")
    record = dict.fromkeys(names, "same") | {"device": {"kind": "cpu", "name": "any"}, "precision": "float32"}
    digests = {
        register(None, {}, "", record | change, None, None).digest
        for change in ({}, {"device": {"kind": "cpu", "name": "another"}}, {"precision": "bfloat16"})
    }
    assert len(digests) == 2

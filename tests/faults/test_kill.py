"""kill -9 in every stage: a re-run completes, resumes, and registers exactly one version."""

import json
import time

STAGES = ("ingest", "validate", "accept", "derive_features", "featurize", "train", "tune", "evaluate", "register")


def test_killed_in_every_stage_then_a_re_run_completes_with_one_version(start_run, registered, tmp_path):
    for stage in STAGES:
        run = start_run()
        run.wait_for(f"▸ fraud_detection.{stage}")
        time.sleep(0.3)  # into the stage
        run.kill()
    run = start_run()
    assert run.end() == 0, run.said
    assert registered() == ["1"]
    metrics = json.loads((tmp_path / "data" / "08_reporting" / "fraud_detection" / "metrics.json").read_text())
    assert metrics["model_version"] == 1
    leftovers = [path for path in (tmp_path / "data").rglob("*.part") if "08_reporting" in str(path)]
    assert leftovers == []

"""Options of ``kedro run`` that would do something else than they say are one message."""

from click.testing import CliRunner

from modelyard.commands.run import run


def test_a_parallel_runner_is_refused_with_what_to_do_instead():
    ended = CliRunner().invoke(run, ["--pipeline=fraud_detection", "--runner=ParallelRunner"])
    assert ended.exit_code == 2
    assert "ParallelRunner does not apply: a project's stages follow one another." in ended.output
    assert "tune.n_parallel" in ended.output

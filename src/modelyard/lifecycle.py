"""The lifecycle: one list of nodes, the same for every project, readable top to bottom."""

from kedro.pipeline import Node, Pipeline

from modelyard.gate import GateParameters
from modelyard.monitoring.reference import MonitorParameters
from modelyard.parameters import NoParameters, parameters_of
from modelyard.project import Project
from modelyard.scoring import EvaluateParameters
from modelyard.stages.evaluate import make_evaluate
from modelyard.stages.examples import SplitParameters, make_assemble, make_derive
from modelyard.stages.ingest import make_ingest
from modelyard.stages.monitor import make_summarise
from modelyard.stages.register import PARAMETER_GROUPS, make_describe, register, report
from modelyard.stages.train import RunParameters, make_train
from modelyard.stages.tune import make_tune
from modelyard.stages.validate import ValidateParameters, accept_records, make_validate
from modelyard.tuning.parameters import TuneParameters


def assemble(project: Project) -> Pipeline:
    """Wires a project's functions into a Kedro pipeline in the project's namespace.

    Args:
        project: The project's record. A project with one more step adds it in the open:
            ``assemble(PROJECT) + Pipeline([Node(...)], namespace=PROJECT.name)``.
    """
    params = {name: f"params:{name}" for name in PARAMETER_GROUPS}
    return Pipeline(
        [
            Node(make_ingest(project), params["ingest"], ["raw_records", "media"], name="ingest"),
            Node(
                make_validate(project),
                ["raw_records", "released_records", params["ingest"], params["validate"]],
                ["checked_records", "rejected_records", "validation_report", "validation_summary"],
                name="validate",
            ),
            Node(accept_records, ["checked_records", "validation_summary"], "records", name="accept"),
            Node(make_derive(project), ["records", params["features"]], "features", name="derive_features"),
            Node(make_assemble(project), ["records", "features", params["split"]], "examples", name="featurize"),
            Node(
                make_train(project),
                ["examples", "media", params["fit"], params["run"], params["score"], "work_folder"],
                ["trained_model", "train_summary"],
                name="train",
            ),
            Node(
                make_tune(project),
                [
                    "examples",
                    "media",
                    "trained_model",
                    "train_summary",
                    params["fit"],
                    params["tune"],
                    params["run"],
                    params["score"],
                    "work_folder",
                ],
                ["tuned_model", "tuning_summary"],
                name="tune",
            ),
            Node(
                make_evaluate(project),
                ["examples", "media", "tuned_model", "champion", params["evaluate"], params["score"], params["gate"]],
                ["evaluation", "predictions", "figures"],
                name="evaluate",
            ),
            Node(
                make_describe(project),
                {
                    "raw_records": "raw_records",
                    "media": "media",
                    "run_context": "run_context",
                    "validation": "validation_summary",
                    "tuning": "tuning_summary",
                    "evaluation": "evaluation",
                    **params,
                },
                ["run_record", "model_card"],
                name="describe",
            ),
            Node(
                make_summarise(project),
                ["examples", "predictions", "evaluation", "params:monitor"],
                ["reference", "reference_sample"],
                name="summarise",
            ),
            Node(
                register,
                ["tuned_model", "evaluation", "model_card", "run_record", "reference", "reference_sample"],
                "model_version",
                name="register",
            ),
            Node(report, ["evaluation", "run_record", "model_version"], "metrics", name="report"),
        ],
        namespace=project.name,
    )


def parameter_types(project: Project) -> dict[str, type]:
    """The parameter model of each group of :data:`PARAMETER_GROUPS` and ``monitor``: the project's or the spine's."""
    return {
        "ingest": parameters_of(project.ingest),
        "validate": ValidateParameters,
        "features": parameters_of(project.derive_features) if project.derive_features else NoParameters,
        "split": SplitParameters,
        "run": RunParameters,
        "fit": parameters_of(project.fit),
        "tune": TuneParameters,
        "score": parameters_of(project.metrics.score),
        "evaluate": EvaluateParameters,
        "gate": GateParameters,
        "monitor": MonitorParameters,
    }

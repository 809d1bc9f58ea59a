"""The lifecycle: the Kedro nodes that every project has, in the order in which they run.

A new stage for all projects is a node here (its function and parameter model in ``modelyard/stages``), its datasets in
``conf/base/catalog.yml``, and a stage of ``dvc.yaml``. The rest follows from these: which groups of parameters there
are, what the run record holds, and what makes ``dvc repro`` run the stage again.
"""

from kedro.pipeline import Node, Pipeline
from kedro.validation import TypeExtractor

from modelyard.project import Project
from modelyard.stages.evaluate import make_evaluate
from modelyard.stages.examples import make_assemble, make_derive
from modelyard.stages.ingest import make_ingest
from modelyard.stages.monitor import make_summarise
from modelyard.stages.register import make_describe, register, report
from modelyard.stages.run_report import make_illustrate
from modelyard.stages.train import make_train
from modelyard.stages.tune import make_tune
from modelyard.stages.validate import accept_records, make_validate

_PARAMETERS = "params:"


def assemble(project: Project) -> Pipeline:
    """Wires a project's functions into a Kedro pipeline in the project's namespace.

    Args:
        project: The project's record. A project with one more step adds it in the open:
            ``assemble(PROJECT) + Pipeline([Node(...)], namespace=PROJECT.name)``.
    """
    made = Pipeline(
        [
            Node(make_ingest(project), "params:ingest", ["raw_records", "media"], name="ingest"),
            Node(
                make_validate(project),
                ["raw_records", "released_records", "params:ingest", "params:validate"],
                ["checked_records", "rejected_records", "validation_report", "validation_summary"],
                name="validate",
            ),
            Node(accept_records, ["checked_records", "validation_summary"], "records", name="accept"),
            Node(make_derive(project), ["records", "params:features"], "features", name="derive_features"),
            Node(make_assemble(project), ["records", "features", "params:split"], "examples", name="featurize"),
            Node(
                make_train(project),
                ["examples", "media", "params:fit", "params:run", "params:score", "work_folder"],
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
                    "params:fit",
                    "params:tune",
                    "params:run",
                    "params:score",
                    "work_folder",
                ],
                ["tuned_model", "tuning_summary"],
                name="tune",
            ),
            Node(
                make_evaluate(project),
                ["examples", "media", "tuned_model", "champion", "params:evaluate", "params:score", "params:gate"],
                ["evaluation", "predictions", "figures"],
                name="evaluate",
            ),
        ]
    )
    kept = Pipeline(
        [
            Node(
                make_describe(project),
                {
                    "raw_records": "raw_records",
                    "media": "media",
                    "run_context": "run_context",
                    "validation": "validation_summary",
                    "tuning": "tuning_summary",
                    "evaluation": "evaluation",
                    **_parameters(made),
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
            Node(report, ["evaluation", "run_record", "model_version"], ["metrics", "primary_metric"], name="report"),
            Node(
                make_illustrate(project),
                [
                    "evaluation",
                    "run_record",
                    "validation_summary",
                    "model_version",
                    "predictions",
                    "media",
                    "figures",
                ],
                "run_report",
                name="illustrate",
            ),
        ]
    )
    return Pipeline([made, kept], namespace=project.name)


def parameter_types(project: Project) -> dict[str, type]:
    """Returns the parameter model of each group that a node of the project's lifecycle reads, as Kedro finds it."""
    found: dict[str, type] = TypeExtractor({project.name: assemble(project)}).extract_types_from_pipelines()
    return {name.removeprefix(f"{project.name}."): model for name, model in found.items()}


def _parameters(pipeline: Pipeline) -> dict[str, str]:
    """Returns the groups of parameters that a pipeline reads, in the order of its nodes, and their names for Kedro."""
    names = dict.fromkeys(name for node in pipeline.nodes for name in node.inputs if name.startswith(_PARAMETERS))
    return {name.removeprefix(_PARAMETERS): name for name in names}

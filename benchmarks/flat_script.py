"""Fraud detection as one flat script: the same work with the same libraries, and no framework.

What a good engineer writes in a day around the project's own functions (simulator, features, models, metrics,
figures): checks, feature store, fit, search, refit, test metrics with intervals, tracking, a registered version. It
leaves out what the spine adds: quarantine, resuming, digests, reports, reproduction, readable errors.
``benchmarks/overhead.py`` times it against ``kedro run``.

    python benchmarks/flat_script.py <folder> <environment>
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import feast
import great_expectations as gx
import mlflow
import mlflow.pyfunc
import numpy as np
import optuna
import polars as pl
import yaml

from modelyard.lifecycle import parameter_types
from modelyard.model_registry import mlflow_model
from modelyard.project import FitRun
from pipelines.fraud_detection.pipeline import PROJECT

ROOT = Path(__file__).resolve().parents[1]
VALUE_TYPES = {"int64": feast.ValueType.INT64, "string": feast.ValueType.STRING}
TYPES = {
    "int64": feast.types.Int64,
    "float64": feast.types.Float64,
    "float32_list": feast.types.Array(feast.types.Float32),
}


def configured(environment: str, changes: str) -> dict[str, Any]:
    """Parameters of each stage: the defaults, the base configuration, the environment's differences, ``changes``."""
    values: dict[str, dict[str, Any]] = {}
    for name in ("base", environment):
        file = ROOT / "conf" / name / PROJECT.name / "parameters.yml"
        for group, differences in yaml.safe_load(file.read_text())[PROJECT.name].items():
            values.setdefault(group, {}).update(differences)
    for part in filter(None, changes.split(",")):
        name, value = part.split("=")
        _, *parents, last = name.split(".")
        place: dict[str, Any] = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = yaml.safe_load(value)
    return {group: model(**values.get(group, {})) for group, model in parameter_types(PROJECT).items()}


def check(records: pl.DataFrame, ingest_params: Any, folder: Path) -> None:
    """Great Expectations on the records; stops at the first rule that is broken."""
    context = gx.get_context(mode="ephemeral")
    suite = context.suites.add(gx.ExpectationSuite("records", expectations=PROJECT.expectations(ingest_params)))
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("records")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": records.to_pandas()})
    result = batch.validate(suite, result_format="COMPLETE")
    (folder / "validation.json").write_text(json.dumps(result.to_json_dict()))
    if not result.success:
        raise SystemExit("the records break their expectations")


def join_features(records: pl.DataFrame, features: dict[str, pl.DataFrame], folder: Path) -> pl.DataFrame:
    """Feast: definitions, online store, and the point-in-time table, by its own DuckDB store."""
    store = feast.FeatureStore(
        config=feast.RepoConfig(
            project=PROJECT.name,
            provider="local",
            registry=str(folder / "registry.db"),
            offline_store={"type": "duckdb"},
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    views = []
    for view in PROJECT.feature_views:
        path = folder / f"{view.name}.parquet"
        features[view.name].write_parquet(path)
        entity = feast.Entity(name=view.entity, join_keys=[view.entity], value_type=VALUE_TYPES[view.entity_dtype])
        schema = [feast.Field(name=feature.name, dtype=TYPES[feature.dtype]) for feature in view.features]
        source = feast.FileSource(name=view.name, path=str(path), timestamp_field="event_time")
        fields = {"name": view.name, "ttl": view.ttl, "schema": schema, "source": source}
        views += [entity, feast.FeatureView(entities=[entity], **fields)]
    store.apply(views)
    last = max(frame["event_time"].max() for frame in features.values())  # type: ignore[type-var]  # never empty
    store.materialize(start_date=records["event_time"].min(), end_date=last)
    keys = [view.entity for view in PROJECT.feature_views]
    asked = records.select(*keys, "event_time", pl.int_range(pl.len()).alias("row"))
    joined = store.get_historical_features(
        entity_df=asked.rename({"event_time": "event_timestamp"}).to_pandas(),
        features=[f"{view.name}:{feature.name}" for view in PROJECT.feature_views for feature in view.features],
    ).to_arrow()
    table: Any = pl.from_arrow(joined)
    names = [feature.name for view in PROJECT.feature_views for feature in view.features]
    examples = records.hstack(table.sort("row").select(names))
    examples.write_parquet(folder / "examples.parquet")
    return examples


def search(learning: pl.DataFrame, params: dict[str, Any], folder: Path, trained: float) -> Any:
    """Optuna around the trained model, trial after trial with all cores each; the best parameters."""
    sampler = optuna.samplers.TPESampler(seed=params["run"].seed)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / "study.journal")))
    study = optuna.create_study(direction="maximize", sampler=sampler, storage=storage)
    best = {"value": trained, "params": params["fit"]}

    def objective(trial: optuna.Trial) -> float:
        tried = PROJECT.search_space(trial, params["fit"])
        model = PROJECT.fit(learning, tried, fit_run(params, folder / f"trial_{trial.number}"))
        value = metrics(model, learning.filter(pl.col("split") == "valid"), params)[PROJECT.metrics.primary]
        with mlflow.start_run(run_name=f"trial {trial.number}", nested=True):
            mlflow.log_params({name: str(setting) for name, setting in trial.params.items()})
            mlflow.log_metric(PROJECT.metrics.primary, value)
        if value > best["value"]:
            best.update(value=value, params=model.params)
        return value

    study.optimize(objective, n_trials=params["tune"].n_trials - 1)
    return best["params"]


def fit_run(params: dict[str, Any], folder: Path) -> FitRun:
    """What a fit may use: all cores."""
    folder.mkdir(parents=True, exist_ok=True)
    return FitRun(
        seed=params["run"].seed, folder=folder, report=lambda step, value: None, n_threads=os.cpu_count() or 1
    )


def predicted(model: Any, rows: pl.DataFrame) -> pl.DataFrame:
    """Records beside their predictions."""
    names = [column.name for column in PROJECT.contract.columns if column.name in rows.columns]
    return rows.select(names).hstack(PROJECT.predict(model, rows))


def metrics(model: Any, rows: pl.DataFrame, params: dict[str, Any]) -> dict[str, float]:
    """The project's metrics."""
    return PROJECT.metrics.score(predicted(model, rows), params["score"])


def evaluate(model: Any, examples: pl.DataFrame, params: dict[str, Any], folder: Path) -> dict[str, float]:
    """Test metrics with bootstrap intervals over customers, floor, figures."""
    test = examples.filter(pl.col("split") == "test")
    rows = predicted(model, test)
    group, random = str(PROJECT.contract.group), np.random.default_rng(0)
    parts = rows.partition_by(group)
    samples = []
    for _ in range(params["evaluate"].n_resamples):
        drawn = random.integers(0, len(parts), len(parts))
        copies = (parts[part].with_columns(pl.lit(copy).alias(group)) for copy, part in enumerate(drawn))
        samples.append(PROJECT.metrics.score(pl.concat(copies), params["score"]))
    values = PROJECT.metrics.score(rows, params["score"])
    floor = PROJECT.metrics.floor(examples.filter(pl.col("split") == "train"), test)
    floors = PROJECT.metrics.score(test.select(rows.columns[: -floor.width]).hstack(floor), params["score"])
    found = {f"test.{name}": value for name, value in values.items()}
    found |= {f"floor.{name}": value for name, value in floors.items()}
    for name in values:
        low, high = np.nanpercentile([sample[name] for sample in samples], [2.5, 97.5])
        found |= {f"test.{name}.low": float(low), f"test.{name}.high": float(high)}
    (folder / "figures").mkdir()
    for stem, figure in PROJECT.figures(rows, model).items():
        figure.savefig(folder / "figures" / f"{stem}.png", dpi=120)
    (folder / "metrics.json").write_text(json.dumps(found))
    return found


def main(folder: Path, environment: str, changes: str = "") -> None:
    """The whole life of a model, from transactions to a registered version."""
    folder.mkdir(parents=True)
    params = configured(environment, changes)
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment(PROJECT.name)
    with mlflow.start_run():
        mlflow.log_params({name: group.model_dump_json()[:6000] for name, group in params.items()})
        records = PROJECT.ingest(params["ingest"])
        records.write_parquet(folder / "records.parquet")
        check(records, params["ingest"], folder)
        examples = join_features(records, PROJECT.derive_features(records, params["features"]), folder)
        learning = examples.filter(pl.col("split").is_in(["train", "valid"]))
        trained = PROJECT.fit(learning, params["fit"], fit_run(params, folder / "train"))
        value = metrics(trained, learning.filter(pl.col("split") == "valid"), params)[PROJECT.metrics.primary]
        mlflow.log_metric("valid", value)
        best = search(learning, params, folder, value)
        settled = best if best is not params["fit"] else trained.params
        everything = learning.with_columns(pl.lit("train").alias("split"))
        model = PROJECT.fit(everything, settled, fit_run(params, folder / "final"))
        mlflow.log_metrics(evaluate(model, examples, params, folder))
        mlflow.log_artifacts(str(folder / "figures"), "figures")
        mlflow_model.save(PROJECT, model, folder / "model")
        mlflow.log_artifacts(str(folder / "model"), "model")
        run = mlflow.active_run()
        mlflow.register_model(f"runs:/{run.info.run_id}/model" if run else "", PROJECT.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

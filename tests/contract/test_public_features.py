"""A feature says something about the public data: inputs that are missing there would be a model's empty promise."""

import importlib
from typing import get_args

import pytest

from modelyard.feature_store.schema import Feature, FeatureView, feature_names
from modelyard.parameters import parameters_of
from modelyard.projects import project_names
from modelyard.public_data.cache import Cache
from modelyard.public_data.catalogue import find_dataset
from modelyard.public_data.mirror import VARIABLE, configured_mirror
from tests.pipelines.small_fit import join_features

MIN_SHARE = 0.2
"""Least share of a data set's rows on which a feature is known, in at least one of a project's data sets."""


def public_datasets(project):
    params = parameters_of(project.ingest)
    if "public" not in get_args(params.model_fields["source"].annotation):
        return []
    return get_args(params.model_fields["dataset"].annotation)


def is_at_hand(name):
    """Whether a data set is cached, or lies in a mirror that is a folder: no test fetches from the publishers."""
    dataset, mirror = find_dataset(name), configured_mirror()
    if Cache.of(dataset).is_verified():
        return True
    parts = [*dataset.files, *dataset.archives] if mirror else []
    places = [mirror.source(name, part.path) for part in parts]
    return bool(places) and all(not isinstance(place, str) and place.exists() for place in places)


def known_shares(project, records):
    """Feature to the share of the rows on which it is known."""
    derived = project.derive_features(records, parameters_of(project.derive_features)())
    joined = join_features(project, records, derived)
    return {name: 1 - joined[name].null_count() / joined.height for name in feature_names(project.feature_views)}


def empty_promises(views, shares):
    """Features that hardly any row of any data set knows, and views of which a data set knows nothing.

    ``shares`` is data set to feature to share.
    """
    names = feature_names(views)
    rare = [name for name in names if max(known[name] for known in shares.values()) < MIN_SHARE]
    problems = [f"{name} is known on fewer than {MIN_SHARE:.0%} of the rows of every data set" for name in rare]
    for dataset, known in shares.items():
        silent = [view.name for view in views if max(known[each.name] for each in view.features) < MIN_SHARE]
        problems += [f"{dataset}: nothing of view {view} is known" for view in silent]
    return problems


@pytest.mark.parametrize("name", project_names())
def test_every_feature_is_known_on_a_good_share_of_public_rows(name, tmp_path_factory, monkeypatch):
    project = importlib.import_module(f"pipelines.{name}.pipeline").PROJECT
    datasets = public_datasets(project)
    if not (project.feature_views and datasets):
        return
    away = [dataset for dataset in datasets if not is_at_hand(dataset)]
    if away:
        pytest.skip(f"neither cached nor in a folder that {VARIABLE} names: {', '.join(away)}")
    if not all(Cache.of(find_dataset(dataset)).is_verified() for dataset in datasets):
        monkeypatch.setenv("MODELYARD_DATA_DIR", str(tmp_path_factory.mktemp("data")))
    ingest = parameters_of(project.ingest)
    records = {dataset: project.ingest(ingest(source="public", dataset=dataset)) for dataset in datasets}
    shares = {dataset: known_shares(project, rows) for dataset, rows in records.items()}
    assert empty_promises(project.feature_views, shares) == []


def test_empty_promises_are_found():
    views = tuple(
        FeatureView(
            name=name,
            entity="tree_id",
            entity_dtype="int64",
            ttl=None,
            features=(Feature(name=f"{name}_count", dtype="int64", description="How many."),),
            description="What is known of a tree.",
        )
        for name in ("plum", "wasp")
    )
    fine = {"orchard": {"plum_count": 0.9, "wasp_count": 0.1}, "garden": {"plum_count": 1.0, "wasp_count": 0.3}}
    assert empty_promises(views, fine) == ["orchard: nothing of view wasp is known"]
    never = {"orchard": {"plum_count": 0.9, "wasp_count": 0.0}}
    assert empty_promises(views, never) == [
        "wasp_count is known on fewer than 20% of the rows of every data set",
        "orchard: nothing of view wasp is known",
    ]

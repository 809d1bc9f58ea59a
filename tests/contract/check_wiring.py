"""Wiring: every dataset has a home, every configured value has a reader that accepts it."""

import functools
import importlib
from typing import Any

from kedro.io import CatalogConfigResolver
from kedro.io.core import AbstractDataset, DatasetError
from pydantic import ValidationError

from modelyard.lifecycle import parameter_types
from modelyard.paths import repository
from tests.contract.check_rooms import ENVIRONMENTS
from tests.contract.shelves import Shelves


def every_dataset_has_a_home(shelves: Shelves) -> list[str]:
    """Kedro keeps a dataset without a home in memory and ends green: a misspelt output would never be noticed."""
    problems = []
    for name in sorted(importlib.import_module(f"pipelines.{shelves.name}").create_pipeline().datasets()):
        if name.startswith("params:") or name == "parameters":
            continue
        if _catalog().match_dataset_pattern(name) is None:
            problems.append(f"{name} has no home in conf/base/catalog.yml: it would stay in memory")
            continue
        try:
            AbstractDataset.from_config(name, _catalog().resolve_pattern(name))
        except DatasetError as error:
            problems.append(f"{name}: {error}")
    return problems


@functools.cache
def _catalog() -> CatalogConfigResolver:
    from kedro.config import OmegaConfigLoader

    from modelyard.settings import CONFIG_LOADER_ARGS

    loader = OmegaConfigLoader(conf_source=str(repository() / "conf"), env="base", **CONFIG_LOADER_ARGS)
    return CatalogConfigResolver(loader["catalog"], default_runtime_patterns={})


def every_parameter_has_a_reader(shelves: Shelves) -> list[str]:
    types = parameter_types(shelves.project())
    problems = []
    for environment in ENVIRONMENTS:
        for group, values in shelves.configured(environment).items():
            if group not in types:
                problems.append(f"conf/{environment}: nothing reads the group {group}")
            else:
                problems += [f"conf/{environment}: {group}.{problem}" for problem in _refusals(types[group], values)]
    return problems


def _refusals(model: type[Any], values: Any) -> list[str]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        return [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return []


CHECKS = (every_dataset_has_a_home, every_parameter_has_a_reader)

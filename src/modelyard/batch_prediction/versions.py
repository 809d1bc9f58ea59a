"""Finds and loads the version that scores a batch, with the checks of the model server."""

from modelyard.errors import ConfigurationError
from modelyard.model_registry.aliases import RegistryView
from modelyard.projects import load_project
from modelyard.serving.loaded_version import LoadedVersion, load_checked


def chosen_version(project: str, version: str) -> LoadedVersion:
    """Returns a loaded version.

    Args:
        project: The project's name.
        version: A number, or an alias (``champion``, ``challenger``).

    Raises:
        ConfigurationError: No version has this alias.
        RefusalError: The version must not answer: its gate failed, or its files are damaged.
        StorageError: The registry cannot be read, or there is no such version.
    """
    record, registry = load_project(project), RegistryView()
    number = version if version.isdigit() else registry.aliases().get((project, version), "")
    if not number:
        raise ConfigurationError(
            f"No version of {project} is '{version}'.",
            way_out=f"kedro promote {project}, or give --version with a number"
            f" (kedro run --pipeline={project} prints it)",
        )
    return load_checked(record, registry.candidate(project, number))

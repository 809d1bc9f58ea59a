"""The MLflow model of a project: signature from its request and response schemas, a pyfunc loader, no pickle.

``mlflow models serve -m models:/<project>@challenger --env-manager local`` loads this module (the ``loader_module`` of
the saved model), which loads the project's model with the project's own code.
"""

import json
import math
import warnings
from hashlib import sha256
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

from modelyard.errors import ConfigurationError, StorageError
from modelyard.files import sha256_of_file
from modelyard.projects import load_project

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from modelyard.project import Project

_PROJECT_FILE, _CHECKSUMS_FILE = "project.json", "checksums.json"
FILES_TAG = "files_sha256"
"""Tag of a version: the digest of its files' checksums."""

_TYPES = {bool: "boolean", int: "long", float: "double", str: "string"}


def save(project: "Project", model: Any, folder: Path) -> None:
    """Writes ``model`` as an MLflow model folder: the project's format plus signature and input example.

    Args:
        project: The project's record.
        model: The project's model.
        folder: Folder to create; it must not exist.
    """
    import tempfile

    import mlflow.pyfunc

    from modelyard.lineage.run_context import library_versions

    with tempfile.TemporaryDirectory() as temporary:
        native = Path(temporary) / "data"
        native.mkdir()
        project.model_format.save(model, native)
        (native / _PROJECT_FILE).write_text(json.dumps({"project": project.name}))
        versions = library_versions()
        with warnings.catch_warnings():
            # MLflow warns that without an input example it cannot infer a signature; ours is given.
            warnings.simplefilter("ignore", UserWarning)
            mlflow.pyfunc.save_model(
                path=str(folder),
                loader_module=__name__,
                data_path=str(native),
                signature=signature(project.api.request, project.api.response),
                pip_requirements=[f"{name}=={version}" for name, version in versions.items() if name != "python"],
            )
    example = {"dataframe_records": [project.api.example.model_dump(mode="json")]}
    (folder / "serving_input_example.json").write_text(json.dumps(example, indent=2))
    write_checksums(folder)


def write_checksums(folder: Path) -> str:
    """Writes the sha256 of every file of the folder to a file; returns that file's sha256 for :func:`check_files`."""
    note = json.dumps(_checksums(folder), indent=2)
    (folder / _CHECKSUMS_FILE).write_text(note)
    return sha256(note.encode()).hexdigest()


def check_files(folder: Path, digest: str = "") -> None:
    """Checks that the files are those that were saved.

    Args:
        folder: An MLflow model folder.
        digest: What :func:`write_checksums` returned, from the registry, where whoever changes files cannot change it;
            empty for versions that were registered without it.

    Raises:
        StorageError: They are not.
    """
    note = folder / _CHECKSUMS_FILE
    if not note.exists():
        wrong = f"{_CHECKSUMS_FILE} is missing"
    elif digest and sha256(note.read_bytes()).hexdigest() != digest:
        wrong = f"{_CHECKSUMS_FILE} is not the one that was registered"
    else:
        recorded, found = json.loads(note.read_text()), _checksums(folder)
        wrong = ", ".join(sorted(name for name in recorded if found.get(name) != recorded[name]))
    if wrong:
        raise StorageError(
            f"The model's files are damaged or missing: {wrong}.",
            where=str(folder),
            way_out="restore them, or register the version again",
        )


def load(folder: Path, digest: str = "") -> Any:
    """Returns the project's model from an MLflow model folder.

    Args:
        folder: An MLflow model folder.
        digest: See :func:`check_files`.

    Raises:
        StorageError: A file is missing or differs from the saved one. Digests are checked first, because a native
            reader may hang on a truncated file (XGBoost 3.2).
    """
    check_files(folder, digest)
    native = folder / "data" / "data" if (folder / "data" / "data").is_dir() else folder / "data"
    return _project_in(native).model_format.load(native)


def signature(request: "type[BaseModel]", response: "type[BaseModel]") -> "ModelSignature":
    """Returns the MLflow signature of the request and response models: scalars, and lists of scalars or of such lists.

    Raises:
        ConfigurationError: A field has another type.
    """
    from mlflow.models import ModelSignature

    return ModelSignature(inputs=_schema(request), outputs=_schema(response))


class _Served:
    """The pyfunc interface of one loaded project model."""

    def __init__(self, project: "Project", model: Any) -> None:
        self._project, self._model = project, model

    def predict(self, model_input: "pd.DataFrame", params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """Returns one response for each row.

        Args:
            model_input: Frame whose columns are the request's fields.
            params: Not used; part of MLflow's interface.
        """
        import pandas as pd

        api = self._project.api
        requests = [api.request.model_validate(_as_in_json(row)) for row in model_input.to_dict("records")]
        answer = api.answer or self._project.predict
        predictions = answer(self._model, api.decode(requests))
        return pd.DataFrame([response.model_dump(mode="json") for response in api.encode(predictions)])


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _CHECKSUMS_FILE)
    return {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in files}


def _load_pyfunc(data_path: str) -> _Served:
    project = _project_in(Path(data_path))
    return _Served(project, project.model_format.load(Path(data_path)))


def _project_in(native: Path) -> "Project":
    return load_project(json.loads((native / _PROJECT_FILE).read_text())["project"])


def _as_in_json(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a row without its missing values, and with lists for the numpy arrays as which array columns arrive."""
    return {
        str(key): value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in row.items()
        if not (isinstance(value, float) and math.isnan(value))
    }


def _schema(model: "type[BaseModel]") -> Any:
    from mlflow.types import ColSpec, Schema

    return Schema(
        [
            ColSpec(_mlflow_type(name, field), name=name, required=field.is_required())
            for name, field in model.model_fields.items()
        ]
    )


def _mlflow_type(name: str, field: "FieldInfo") -> Any:
    from mlflow.types.schema import AnyType, Array, DataType

    annotation = _plain(field.annotation)
    if get_origin(annotation) in (list, tuple):
        return Array(_item_type(annotation))
    if get_origin(annotation) is dict:
        return AnyType()  # type: ignore[no-untyped-call]  # objects; the request model reads them
    if get_origin(annotation) is Literal:
        annotation = type(get_args(annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, str):
        annotation = str  # such as a picture in base64
    if annotation in _TYPES:
        return DataType[_TYPES[annotation]]
    if getattr(annotation, "__name__", "") in ("datetime", "date", "AwareDatetime"):
        return DataType.string  # as in JSON; the request model parses it
    raise ConfigurationError(
        f"Field '{name}' has type {annotation}, which an MLflow signature cannot carry.",
        way_out="use str, int, float, bool, datetime, or lists of str, int, float or bool",
    )


def _item_type(annotation: Any) -> Any:
    """Returns the MLflow type of a list's entries, which may be lists."""
    from mlflow.types.schema import Array, DataType

    inner = _plain(next(option for option in get_args(annotation) if option is not Ellipsis))
    return Array(_item_type(inner)) if get_origin(inner) in (list, tuple) else DataType[_TYPES[inner]]


def _plain(annotation: Any) -> Any:
    """Returns a type without its constraints (``Annotated``) and without ``| None``."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    options = [option for option in get_args(annotation) if option is not type(None)]
    if get_origin(annotation) in (Union, UnionType) and len(options) == 1:
        return _plain(options[0])
    return annotation

"""Resuming a loop of any kind after kill -9: boosting, evolution, reinforcement learning, self-play, training itself.

A state is a mapping of numpy arrays, tensors, bytes, numbers, texts, numpy generators, and lists, tuples and mappings
of them (so also what ``state_dict()`` of a network or an optimizer returns). It lies in a folder of its own,
``step_0042``: ``state.json`` can be read by people and holds the digest of ``arrays.safetensors`` beside it. A folder
appears whole or not at all, the last two are kept, and nothing is pickled.

Importing this module does not import torch.
"""

import json
import logging
import shutil
import sys
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from modelyard.errors import ConfigurationError
from modelyard.files import atomic_directory
from modelyard.project import FitRun

logger = logging.getLogger(__name__)

State = dict[str, Any]

_FORMAT = 2
_KEPT = 2


def run_steps(
    advance: Callable[[int, State], float | None],
    state: State,
    n_steps: int,
    *,
    run: FitRun,
    fingerprint: str,
    every: int = 1,
) -> State:
    """Calls ``advance(step, state)`` for steps 1 to ``n_steps``; a re-run after a kill ends at the same bits.

    Args:
        advance: Changes ``state`` in place and may return a value, which is reported for the step. What it draws comes
            from a generator in the state, or from one that it seeds with ``[run.seed, step]``.
        state: Of the beginning; see the module for what it may hold. It is replaced where a stored one is found.
        n_steps: Steps in all.
        run: Its folder keeps the states; its ``report`` gets the values, on resuming also those of earlier steps.
        fingerprint: Of all that decides the course, see :func:`digest_of`; a state with another one is left out.
        every: Steps from one writing to the next; the last step is always written.

    Returns:
        The state after the last step.

    Raises:
        StorageError: A state cannot be written; the one before is kept.
        ConfigurationError: The state holds something that cannot be kept without pickle.
    """
    done, values = 0, list[tuple[int, float]]()
    found = load_state(run.folder, fingerprint=fingerprint)
    if found is not None:
        done, state, values = found[0], found[1]["state"], found[1]["values"]
        logger.info("Continuing after step %d of %d, found in %s.", done, n_steps, run.folder)
    discard_remains(run.folder, done)
    for earlier, earlier_value in values:
        run.report(earlier, earlier_value)
    for step in range(done + 1, n_steps + 1):
        value = advance(step, state)
        if value is not None:
            values.append((step, float(value)))
        if step % every == 0 or step == n_steps:
            save_state(run.folder, step, {"state": state, "values": values}, fingerprint=fingerprint)
        if value is not None:
            run.report(step, float(value))
    return state


def save_state(
    folder: Path, step: int, state: Mapping[str, Any], *, fingerprint: str, prefix: str = "step", kept: int = _KEPT
) -> None:
    """Writes the state after ``step`` below ``folder``, and deletes all but the last ``kept`` ones.

    Args:
        folder: Of this run alone.
        step: Number, from 1; of equal numbers the later one stays.
        state: See the module.
        fingerprint: See :func:`digest_of`.
        prefix: What steps are called (``epoch``).
        kept: States to keep.

    Raises:
        StorageError: The disk is full or the folder cannot be written to; earlier states are untouched.
        ConfigurationError: Something in the state cannot be kept without pickle.
    """
    arrays: dict[str, np.ndarray] = {}
    tree = _encoded(state, arrays, "state")
    content = safetensors.numpy.save(arrays)
    about = {"format": _FORMAT, "fingerprint": fingerprint, "arrays_sha256": sha256(content).hexdigest(), "state": tree}
    with atomic_directory(folder / f"{prefix}_{step:04d}") as temporary:
        (temporary / "arrays.safetensors").write_bytes(content)
        (temporary / "state.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    for old in _folders(folder, prefix)[:-kept]:
        shutil.rmtree(old, ignore_errors=True)


def load_state(folder: Path, *, fingerprint: str, prefix: str = "step") -> tuple[int, State] | None:
    """Returns step and state of the newest undamaged state below ``folder`` with this fingerprint; None without one.

    Damaged ones, and those with another fingerprint, are passed over with one line in the log.
    """
    for path in reversed(_folders(folder, prefix)):
        try:
            return _number(path), _read(path, fingerprint)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            logger.warning("Checkpoint %s is left out (%s); an earlier state is used.", path, error)
    return None


def discard_remains(folder: Path, step: int, prefix: str = "step") -> None:
    """Deletes half-written folders of a killed run, and states behind ``step`` that were left out."""
    later = [path for path in _folders(folder, prefix) if _number(path) > step]
    for path in [*folder.glob(f".{prefix}_*.part"), *later]:
        shutil.rmtree(path, ignore_errors=True)


def digest_of(*values: Any) -> str:
    """Returns the hex sha256 of values as a state may hold them (arrays, ``params.model_dump()``, the seed)."""
    arrays: dict[str, np.ndarray] = {}
    digest = sha256(json.dumps(_encoded(values, arrays, "values"), sort_keys=True).encode())
    for name, array in arrays.items():
        digest.update(f"{name} {array.shape} {array.dtype}\0".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read(path: Path, fingerprint: str) -> State:
    about: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
    if about["format"] != _FORMAT or about["fingerprint"] != fingerprint:
        raise ValueError("it belongs to a run with other data, parameters or another network")
    content = (path / "arrays.safetensors").read_bytes()
    if sha256(content).hexdigest() != about["arrays_sha256"]:
        raise ValueError("it is damaged: its arrays are not those that were written")
    return cast(State, _decoded(about["state"], safetensors.numpy.load(content)))


def _encoded(value: Any, arrays: dict[str, np.ndarray], name: str) -> Any:
    """Returns ``value`` as JSON knows it; its arrays go to ``arrays``, and their keys stand where they were."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _encoded(one, arrays, f"{name}.{key}") for key, one in value.items()}
        return {"$items": [[key, _encoded(one, arrays, f"{name}.{key}")] for key, one in value.items()]}
    if isinstance(value, list | tuple):
        parts = [_encoded(one, arrays, f"{name}.{place}") for place, one in enumerate(value)]
        return parts if isinstance(value, list) else {"$tuple": parts}
    if isinstance(value, np.random.Generator):
        state = value.bit_generator.state
        return {"$generator": _encoded(state, arrays, name), "kind": type(value.bit_generator).__name__}
    kind, array = _as_array(value)
    if array is None:
        raise ConfigurationError(
            f"{name} is a {type(value).__qualname__}, which cannot be kept without pickle.",
            where="the state of a resumable loop",
            way_out="keep its arrays, numbers and texts instead (of a network and an optimizer their state_dict())",
        )
    arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
    return {"$array": name, "kind": kind}


def _as_array(value: Any) -> tuple[str, np.ndarray | None]:
    """Returns what ``value`` is and its content as an array; None for what is not made of numbers."""
    if isinstance(value, bytes | bytearray):
        return "bytes", np.frombuffer(value, np.uint8)
    if isinstance(value, np.ndarray | np.generic) and np.asarray(value).dtype.kind in "biufc":
        return ("numpy" if isinstance(value, np.ndarray) else "scalar"), np.asarray(value)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        here = value.detach().cpu()
        if here.dtype == torch.bfloat16:  # numpy has no such numbers
            return "bfloat16", here.contiguous().view(torch.int16).numpy()
        return "tensor", here.numpy()
    return type(value).__name__, None


def _decoded(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(tree, list):
        return [_decoded(one, arrays) for one in tree]
    return _decoded_mapping(tree, arrays) if isinstance(tree, dict) else tree


def _decoded_mapping(tree: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    if "$items" in tree:
        return {key: _decoded(one, arrays) for key, one in tree["$items"]}
    if "$tuple" in tree:
        return tuple(_decoded(one, arrays) for one in tree["$tuple"])
    if "$generator" in tree:
        bit_generator = getattr(np.random, tree["kind"])()
        bit_generator.state = _decoded(tree["$generator"], arrays)
        return np.random.Generator(bit_generator)
    if "$array" in tree:
        return _as_value(tree["kind"], arrays[tree["$array"]].copy())
    return {key: _decoded(one, arrays) for key, one in tree.items()}


def _as_value(kind: str, array: np.ndarray) -> Any:
    if kind == "numpy":
        return array
    if kind == "scalar":
        return array[()]
    if kind == "bytes":
        return array.tobytes()
    import torch

    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if kind == "bfloat16" else tensor


def _folders(folder: Path, prefix: str) -> list[Path]:
    return sorted(folder.glob(f"{prefix}_[0-9][0-9][0-9][0-9]*"), key=_number)


def _number(path: Path) -> int:
    return int(path.name.rpartition("_")[2])

"""A bag of words whose vocabulary and vectors are learnt from the training notes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.model_files import load_network, load_parameters, save_model
from modelyard.parameters import Parameters
from modelyard.tasks.calibration import sigmoid
from modelyard.tasks.text.word_tokenizer import VocabularyParameters, WordTokenizer, fit_word_tokenizer, tokenize
from modelyard.training.parameters import LoopParameters

if TYPE_CHECKING:
    from modelyard.training.ragged import Ragged
    from pipelines.starter_project.network import FailureNetwork


class FitParameters(Parameters):
    """Vocabulary, network and training."""

    vocabulary: VocabularyParameters = Field(VocabularyParameters(), description="Which words are known.")
    width: int = Field(32, ge=2, le=1024, description="Length of a word's vector, and units of the hidden layer.")
    loop: LoopParameters = Field(
        LoopParameters(epochs=8, batch_size=64, learning_rate=5e-3), description="How the network is trained."
    )


@dataclass(frozen=True, kw_only=True)
class FailureModel:
    """A trained network and the words that it knows.

    Args:
        params: What trained it, with the epoch that validation chose filled in.
        tokenizer: Notes to numbers.
        network: Numbers to log-odds (N,).
    """

    params: FitParameters
    tokenizer: WordTokenizer
    network: FailureNetwork


def untrained_model(learning: pl.DataFrame, params: FitParameters) -> FailureModel:
    """Returns a model that knows the words of the training rows; weights are drawn from torch's generator."""
    return _model(params, fit_word_tokenizer(learning["note"], params.vocabulary))


def _model(params: FitParameters, tokenizer: WordTokenizer) -> FailureModel:
    from pipelines.starter_project.network import FailureNetwork

    network = FailureNetwork(tokenizer.n_numbers, params.width)
    return FailureModel(params=params, tokenizer=tokenizer, network=network)


def arrays_of(model: FailureModel, examples: pl.DataFrame) -> dict[str, Ragged]:
    """Returns what the network takes: ``note``, the numbers of each note's words, rows of different lengths."""
    from modelyard.training.ragged import Ragged

    return {"note": Ragged.of_lengths(*tokenize(model.tokenizer, examples["note"]))}


def probabilities(model: FailureModel, examples: pl.DataFrame) -> NDArray[np.float64]:
    """Returns how likely each part fails within a week, shape (N,)."""
    from modelyard.training.prediction import predict

    return sigmoid(predict(model.network, arrays_of(model, examples)).astype(np.float64))


def save(model: FailureModel, folder: Path) -> None:
    """Writes parameters and vocabulary as JSON and the weights as safetensors into an empty folder."""
    save_model(folder, params=model.params, tokenizer=model.tokenizer, network=model.network)


def load(folder: Path) -> FailureModel:
    """Reads what :func:`save` wrote; a missing or damaged file is a ``StorageError``."""
    params, tokenizer = load_parameters(folder, FitParameters), load_parameters(folder, WordTokenizer, "tokenizer")
    model = _model(params, tokenizer)
    load_network(folder, model.network)
    return model

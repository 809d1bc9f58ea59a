"""The small fit of the tests: 160 short simulated pieces."""

from modelyard.training.parameters import LoopParameters
from pipelines.music_generation.data import IngestParameters
from pipelines.music_generation.model import FitParameters
from pipelines.music_generation.pipeline import PROJECT
from pipelines.music_generation.simulator import SimulationParameters, known_ceiling
from tests.pipelines.small_fit import SmallFit

SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_pieces=160, n_phrases=3)),
    fit=FitParameters(hidden_size=32, loop=LoopParameters(epochs=5, batch_size=8, learning_rate=0.01)),
    ceiling=lambda ingest: known_ceiling(ingest.simulation),
)

"""The small fit of the tests: 160 short simulated pieces."""

from pipelines.music_generation.data import IngestParameters
from pipelines.music_generation.evaluate import known_ceiling
from pipelines.music_generation.grammar import SimulationParameters
from pipelines.music_generation.pipeline import PROJECT
from pipelines.music_generation.train import FitParameters
from tests.pipelines.small_fit import SmallFit

SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_pieces=160, n_phrases=3)),
    fit=FitParameters(width=32, epochs=5, batch_size=8, dropout=0.1, transpose_semitone=0, learning_rate=0.01),
    ceiling=known_ceiling,
)

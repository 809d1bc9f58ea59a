"""Randomness that follows from a seed and leaves no trace.

Every epoch gets its own streams, derived from (seed, epoch) and not from what ran before: a resumed run needs no
stored generator state to continue with the same bits.
"""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds torch (all devices), numpy and random inside the block; afterwards each continues where it was.

    Build networks in it: ``with seeded(seed): network = Network(...)``.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    python_state, numpy_state = random.getstate(), np.random.get_state()
    mps_state = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        with torch.random.fork_rng(devices=devices):
            reseed(seed)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        if mps_state is not None:
            torch.mps.set_rng_state(mps_state)


def reseed(*parts: int) -> None:
    """Sets the global generators from ``parts`` (non-negative integers); to be used inside :func:`seeded`."""
    torch_seed, numpy_seed, python_seed = np.random.SeedSequence(parts).generate_state(3, np.uint32).tolist()
    torch.manual_seed(torch_seed)
    np.random.seed(numpy_seed)
    random.seed(python_seed)

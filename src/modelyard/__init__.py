"""The spine: the code that all projects share. It contains no project's name."""

import gc
import os

# The libraries allocate some hundred thousand objects while they load, and keep them. With Python's default threshold
# (a collection every 700 allocations) a sixth of a command's start-up time is spent in the garbage collector.
gc.set_threshold(50_000, 20, 20)

# Torch's threads wait for each other by turning in a loop for milliseconds (libgomp's default). Where anything else
# wants the processor, the thread that waits then keeps the one that works off it, at every step: trainings took 6 to 30
# times as long. Short waits cost little alone (docs/decisions/0010). libgomp reads the variable when torch is loaded,
# and commands load it after this module; who has the machine for himself sets it, or OMP_WAIT_POLICY, as he likes.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

"""The spine: the code that all projects share. It contains no project's name."""

import gc

# The libraries allocate some hundred thousand objects while they load, and keep them. With Python's default threshold
# (a collection every 700 allocations) a sixth of a command's start-up time is spent in the garbage collector.
gc.set_threshold(50_000, 20, 20)

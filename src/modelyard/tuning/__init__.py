"""The parts of the tuning stage: the study, the search, and the worker processes."""

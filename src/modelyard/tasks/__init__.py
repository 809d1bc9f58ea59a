"""Functions that projects share, by kind of task."""

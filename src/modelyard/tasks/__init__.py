"""Functions that three or more projects share, by kind of task."""

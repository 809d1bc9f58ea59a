"""What the tuning stage is made of: the study, the search through it, and the worker processes."""

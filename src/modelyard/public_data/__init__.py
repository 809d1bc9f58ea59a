"""Public data sets: the catalogue, and how their files get here verified."""

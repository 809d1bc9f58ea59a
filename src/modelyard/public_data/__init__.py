"""Public data sets: the catalogue, and verified downloads."""

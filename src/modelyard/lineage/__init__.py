"""Lineage: the code, data and parameters behind a result, and whether it can be reproduced."""

"""Public data, and the Kedro datasets of the catalog."""

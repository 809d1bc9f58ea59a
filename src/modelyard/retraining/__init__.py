"""Retraining: signals (calendar, drift, new data) to a decision (pure) to a run; Dagster keeps the clock."""

"""Retraining: signals (calendar, drift, new data) lead to a pure decision, and it to a run; Dagster schedules."""

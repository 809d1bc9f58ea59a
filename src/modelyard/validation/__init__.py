"""Validation: rules, the rows that break them, quarantine, and the report."""

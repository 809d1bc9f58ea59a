"""The lifecycle, one file for each stage verb."""

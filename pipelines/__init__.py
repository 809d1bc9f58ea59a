"""The projects, one folder each: domain knowledge only."""

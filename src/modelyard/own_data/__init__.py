"""A user's own files, read by the contract of a project."""

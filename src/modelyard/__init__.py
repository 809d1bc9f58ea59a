"""The spine: what three or more projects share; it knows no project by name."""

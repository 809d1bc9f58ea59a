"""Scores a file or a folder with a registered version, by the code of the model server."""

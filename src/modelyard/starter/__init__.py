"""What ``kedro new-project`` copies: a small project that works, for each kind of data, in layers.

Each layer lies on the repository's shelves. ``every_kind`` is in all projects, ``classifier`` in those that answer yes
or no (tabular, images, text), and one folder is named after each kind.
"""

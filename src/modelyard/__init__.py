"""The spine: what three or more projects share; it knows no project by name."""

import gc

# The libraries make some hundred thousand objects while they load, which stay. Looked through every 700 of them, as
# Python begins with, a sixth of a command's time until it works goes into looking for garbage that is not there.
gc.set_threshold(50_000, 20, 20)

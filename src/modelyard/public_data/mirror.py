"""The mirror: the user's own copy of the public data sets, a folder or an http(s) URL, tried before the publisher.

Its layout is ``<mirror>/<data set>/<path in the catalogue>``; a packed data set is stored as its archive.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from modelyard.errors import ConfigurationError

VARIABLE = "MODELYARD_DATA_MIRROR"


@dataclass(frozen=True)
class Mirror:
    """A folder or server with copies of data sets.

    Args:
        root: Folder, or URL without a slash at its end.
    """

    root: Path | str

    def source(self, dataset: str, path: str) -> Path | str:
        """Returns the path or URL of a data set's file or archive in the mirror, whether or not it exists."""
        if isinstance(self.root, Path):
            return self.root / dataset / path
        return f"{self.root}/{quote(dataset)}/{quote(path)}"

    def __str__(self) -> str:
        return str(self.root)


def configured_mirror() -> Mirror | None:
    """Returns the mirror that ``MODELYARD_DATA_MIRROR`` names; None if it is unset or empty.

    Raises:
        ConfigurationError: It is neither an existing folder nor an http(s) URL.
    """
    value = os.environ.get(VARIABLE, "").strip()
    if not value:
        return None
    if value.startswith(("http://", "https://")):
        return Mirror(value.rstrip("/"))
    folder = Path(value).expanduser().absolute()
    if folder.is_dir():
        return Mirror(folder)
    raise ConfigurationError(
        "The mirror of public data is neither a folder nor an http(s) address.",
        where=f"{VARIABLE}={value}",
        way_out="correct the variable, or unset it to fetch from the publishers",
    )

"""``python -m modelyard.retraining.die_with_parent command …``: a command that ends with the process that started it.

A retraining whose scheduler was killed would otherwise train on with nobody to see its end, while the next scheduler
starts it again.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Asks Linux to end this process with its parent, then becomes the command; elsewhere only becomes it."""
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before it was tied to
            sys.exit(1)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  # our own command, without a shell


if __name__ == "__main__":
    main()

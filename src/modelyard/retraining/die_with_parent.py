"""``python -m modelyard.retraining.die_with_parent <parent's pid> command …`` runs a command that dies with its parent.

Otherwise a retraining whose scheduler was killed would go on, while the next scheduler starts it again.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Sets the parent-death signal (Linux only), then replaces this process by the command."""
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the signal was set
            sys.exit(1)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  # our own command, without a shell


if __name__ == "__main__":
    main()

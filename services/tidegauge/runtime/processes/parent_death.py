"""Parent-death signal: a command that gets SIGTERM when its parent dies.

Run as ``python -m tidegauge.runtime.processes.parent_death PARENT COMMAND...``: the program
requests the signal from the kernel, which keeps it across ``exec``, and executes the command.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

__all__ = ["ends_with_parent", "main"]

_PR_SET_PDEATHSIG = 1
_USAGE = 64


def ends_with_parent(command: tuple[str, ...], parent: int) -> tuple[str, ...]:
    """Return the command line that runs ``command`` and ends it when ``parent`` dies."""
    return (sys.executable, "-m", "tidegauge.runtime.processes.parent_death", str(parent), *command)


def main(arguments: list[str]) -> None:
    """Request the parent-death signal, then execute the command."""
    if len(arguments) < 2:  # noqa: PLR2004 - a parent and a command
        sys.exit(_USAGE)
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before the request
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - this is what it is for


if __name__ == "__main__":
    main(sys.argv[1:])

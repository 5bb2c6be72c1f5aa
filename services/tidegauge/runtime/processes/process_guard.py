"""Process guard: runs a command that must not outlive its parent.

Run as ``python process_guard.py SECONDS COMMAND…``. The parent holds the other end of
standard input. When that closes, because the parent closed it or died in any way, the guard
sends SIGTERM to the command's process group and SIGKILL after ``SECONDS``. The guard imports
nothing of tidegauge and needs Linux 5.3.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys

__all__ = ["guard"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def guard(command: list[str], *, grace_seconds: float) -> int:
    """Run a command until it ends or standard input closes; return its exit status.

    The guard ignores signals that a terminal sends to the whole group: the parent handles them.

    Args:
        command: The program and its arguments.
        grace_seconds: Time between SIGTERM and SIGKILL.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def die_with_guard() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    child = subprocess.Popen(  # noqa: S603 - the command is our parent's
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=die_with_guard,  # noqa: PLW1509 - this process has a single thread
    )
    ended = os.pidfd_open(child.pid)
    stdin = sys.stdin.fileno()
    while True:
        ready, _, _ = select.select([ended, stdin], [], [])
        if ended in ready or not os.read(stdin, 1024):
            break
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGTERM)
        select.select([ended], [], [], grace_seconds)
    _signal_group(child.pid, signal.SIGKILL)
    status = child.wait()
    _end_rest(child.pid)
    return status


def _end_rest(group: int) -> None:
    """Kill and reap the remaining processes of the group; orphans are children of the guard."""
    while _signal_group(group, signal.SIGKILL):
        try:
            os.waitpid(-group, 0)
        except ChildProcessError:
            return


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(guard(sys.argv[2:], grace_seconds=float(sys.argv[1])))

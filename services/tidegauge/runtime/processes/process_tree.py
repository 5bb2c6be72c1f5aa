"""The tree of processes, from /proc; empty where there is none."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Member", "descendants", "is_alive"]

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """A process, identified by its id and its start time, since ids are reused.

    Attributes:
        pid: Process id.
        started: Start time, in the kernel's ticks since boot.
    """

    pid: int
    started: int


def descendants(pid: int) -> tuple[Member, ...]:
    """Return the children of a process, their children and so on, without itself."""
    children: defaultdict[int, list[Member]] = defaultdict(list)
    for entry in _PROC.glob("[0-9]*"):
        process = _read(int(entry.name))
        if process is not None:
            parent, member, _ = process
            children[parent].append(member)
    found: list[Member] = []
    waiting = [pid]
    while waiting:
        young = children[waiting.pop()]
        found += young
        waiting += [member.pid for member in young]
    return tuple(found)


def is_alive(member: Member) -> bool:
    """Return whether exactly this process still runs; a zombie does not."""
    found = _read(member.pid)
    if found is None:
        return False
    _, current, state = found
    return current == member and state not in {"Z", "X"}


def _read(pid: int) -> tuple[int, Member, str] | None:
    """Return parent, identity and state of a process, None if there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The name is in parentheses and may itself contain spaces and parentheses: proc(5).
    fields = text[text.rindex(")") + 2 :].split()
    return int(fields[1]), Member(pid, int(fields[19])), fields[0]

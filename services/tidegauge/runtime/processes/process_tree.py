"""Who descends from whom, as the kernel tells it (Linux; elsewhere nobody does)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Member", "descendants", "is_alive"]

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """A process; its start tells it from a later one with the same id.

    Attributes:
        pid: Process id.
        started: Start, in the kernel's ticks since boot.
    """

    pid: int
    started: int


def descendants(pid: int) -> tuple[Member, ...]:
    """Return the children of a process, their children and so on, without itself."""
    children: defaultdict[int, list[Member]] = defaultdict(list)
    for entry in _PROC.glob("[0-9]*"):
        found = _read(int(entry.name))
        if found is not None:
            parent, member, _ = found
            children[parent].append(member)
    family: list[Member] = []
    waiting = [pid]
    while waiting:
        young = children[waiting.pop()]
        family += young
        waiting += [member.pid for member in young]
    return tuple(family)


def is_alive(member: Member) -> bool:
    """Return whether this very process still runs; a zombie does not."""
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
    # The name stands in brackets and may hold spaces and brackets itself: proc(5).
    fields = text[text.rindex(")") + 2 :].split()
    return int(fields[1]), Member(pid, int(fields[19])), fields[0]

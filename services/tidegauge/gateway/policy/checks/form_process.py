"""A process that checks the forms of answers and can be killed.

The checks count their work and stop by themselves (see ``keywords``). The process is for what
counting misses: the kernel ends it when one check has taken a quarter of a second of processor
time, or when it needs too much memory. Then the form is unchecked, and the next one gets a new
process.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from typing import Final

import msgspec

from tidegauge.gateway.policy.checks.answer_forms import Form, check_form, form_unchecked
from tidegauge.gateway.policy.checks.structure import Finding

__all__ = ["FormProcess", "serve"]

_PROCESSOR_SECONDS: Final = 0.25
_MEMORY_BYTES: Final = 512 * 1024 * 1024
_ANSWER_SECONDS: Final = 5.0
"""For a machine so loaded that the process does not get its processor time."""
_LARGEST: Final = 4 * 1024 * 1024
_FREE_SECONDS: Final = 0.005
_SHARE: Final = 0.25
_MOST_SAVED_SECONDS: Final = 2.0
_AGAIN_SECONDS: Final = 10.0
"""How long no process is started after one that could not be."""
_READY: Final = b"ready"
_LENGTH: Final = struct.Struct("!I")
_PASSED_ON: Final = ("LD_LIBRARY_PATH", "PATH", "PYTHONPATH")
_COMMAND: Final = (
    sys.executable,
    "-c",
    "from tidegauge.gateway.policy.checks.form_process import serve; serve()",
)

_encode: Final = msgspec.msgpack.Encoder().encode
_form: Final = msgspec.msgpack.Decoder(Form)
_findings: Final = msgspec.msgpack.Decoder(dict[str, str])


class FormProcess:
    """Checks forms in another process, one at a time; for one thread.

    Checks that take longer than 5 ms may take a quarter of the time over all, so that clients
    with such schemas cannot hold up the answers of others. When that is used up, forms are
    ``unchecked: busy``.

    Args:
        command: The command that serves at its standard input.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self,
        command: tuple[str, ...] = _COMMAND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = command
        self._clock = clock
        self._saved = _MOST_SAVED_SECONDS
        self._moment = clock()
        self._start_after = clock()
        self._peer: socket.socket | None = None
        self._end: Callable[[], object] = _nothing

    def check(self, form: Form) -> dict[str, Finding]:
        """Return a form's findings.

        Forms whose checks took too long or too much memory are ``unchecked: budget``, and forms
        that no process could be started for ``unchecked: unavailable``.
        """
        if form.size() > _LARGEST:
            return form_unchecked(form, "size")
        began = self._clock()
        self._saved = min(_MOST_SAVED_SECONDS, self._saved + _SHARE * (began - self._moment))
        self._moment = began
        if self._saved <= 0.0:
            return form_unchecked(form, "busy")
        try:
            peer = self._peer or self._start()
        except (OSError, EOFError):
            self.close()
            self._start_after = began + _AGAIN_SECONDS
            return form_unchecked(form, "unavailable")
        began = self._clock()  # the start is not the form's fault
        try:
            _send(peer, _encode(form))
            return _findings.decode(_receive(peer))
        except (OSError, EOFError):
            self.close()
            return form_unchecked(form, "budget")
        finally:
            self._saved -= max(0.0, self._clock() - began - _FREE_SECONDS)

    def close(self) -> None:
        """End the process; a later check starts another one."""
        self._end()
        self._peer, self._end = None, _nothing

    def _start(self) -> socket.socket:
        """Start a process and wait until it serves.

        Raises:
            OSError: It cannot be started, or could not a short time ago.
            EOFError: It ended.
        """
        if self._clock() < self._start_after:
            raise BlockingIOError
        ours, theirs = socket.socketpair()
        ours.settimeout(_ANSWER_SECONDS)
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - a command of ours
                self._command, stdin=theirs.fileno(), env=environment, start_new_session=True
            )
        self._peer = ours
        self._end = weakref.finalize(self, _ended, process, ours)
        _receive(ours)
        return ours


def serve() -> None:
    """Check the forms that come in at the standard input, a socket, until it is closed."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as peer:
        _send(peer, _READY)
        while True:
            try:
                form = _form.decode(_receive(peer))
            except EOFError:
                return
            # The signal of this timer ends the process, also within a call of a C library.
            signal.setitimer(signal.ITIMER_PROF, _PROCESSOR_SECONDS)
            try:
                findings = check_form(form)
            except MemoryError:
                findings = form_unchecked(form, "budget")
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            _send(peer, _encode(findings))


def _send(peer: socket.socket, data: bytes) -> None:
    peer.sendall(_LENGTH.pack(len(data)) + data)


def _receive(peer: socket.socket) -> bytes:
    """Return the next message.

    Raises:
        EOFError: The other side has closed.
    """
    (length,) = _LENGTH.unpack(_exactly(peer, _LENGTH.size))
    return _exactly(peer, length)


def _exactly(peer: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = peer.recv(length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def _ended(process: subprocess.Popen[bytes], peer: socket.socket) -> None:
    peer.close()
    process.kill()
    process.wait()


def _nothing() -> None:
    """Do nothing; there is no process."""

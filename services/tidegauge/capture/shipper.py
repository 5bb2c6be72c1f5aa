"""The process that ships outboxes to Kafka: ``python -m tidegauge.capture.shipper``.

With ``--run`` it is started by the process that captures and reads its settings from standard
input. It ships that run until the run is over, and also the remaining events of ended runs in
the folder. Without ``--run`` it ships only ended runs (settings from the environment) and exits
when nothing is left.

Delivery is at least once: the position is saved after the broker's acknowledgement, and events
that are sent again after a kill have the same sequences.

A process that appends compact records has its own shipper: this one with the formats to expand
them.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType, MappingProxyType

from tidegauge.capture.batch import BatchBuilder
from tidegauge.capture.cursor import OutboxCursor
from tidegauge.capture.delivery import Delivery, Interrupted
from tidegauge.capture.errors import CaptureError
from tidegauge.capture.frame import ExpandFormats
from tidegauge.capture.runs import Run, list_runs, sweep
from tidegauge.capture.settings import CaptureSettings, settings_from_json
from tidegauge.capture.shipper_supervisor import LEFT_BEHIND
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.environment import SettingsError

__all__ = ["Shipper", "main"]

_log = logging.getLogger("tidegauge.capture.shipper")

_PAUSE_SECONDS = 0.1
"""Pause after batches that are not full: small batches cost several times more per event."""
_ADOPT_SECONDS = 5.0
_SAVE_SECONDS = 1.0


class Shipper:
    """Ships runs until they are over and empty, or until a deadline.

    Args:
        settings: Where the outboxes are and how to reach the broker.
        own: Id of the run whose process started this one; None to ship ended runs only.
        expand_formats: How compact records are expanded, by their type.
    """

    def __init__(
        self,
        settings: CaptureSettings,
        own: str | None,
        expand_formats: ExpandFormats = MappingProxyType({}),
    ) -> None:
        self._settings = settings
        self._expand_formats = expand_formats
        self._own = Run(settings.directory / own) if own else None
        self._cursors: dict[str, OutboxCursor] = {}
        self._unreadable: set[str] = set()
        self._deadline = float("inf")
        self._draining = False
        self._refusal_told = False
        self._delivery = Delivery(
            settings.kafka, client_id=f"tidegauge-shipper-{own or 'left'}", interrupted=self._late
        )
        self._due = dict.fromkeys(("adopt", "heartbeat", "save", "sync"), float("-inf"))

    def stop(self, within_seconds: float) -> None:
        """Set the deadline unless it is earlier already. Safe in a signal handler."""
        self._deadline = min(self._deadline, time.monotonic() + within_seconds)

    def _late(self) -> bool:
        own = self._cursor_of_own()
        if not self._draining and own is not None and (own.over or own.run.is_over()):
            self._draining = True
            self.stop(self._settings.drain_seconds)
        return time.monotonic() >= self._deadline

    def run(self) -> bool:
        """Ship until everything is shipped or the deadline passes.

        Returns:
            Whether everything was shipped.
        """
        try:
            while not self._late():
                self._adopt()
                full = [self._ship(cursor) for cursor in list(self._cursors.values())]
                self._keep()
                if self._done():
                    return not self._unreadable
                if not any(full):
                    time.sleep(_PAUSE_SECONDS)
        except Interrupted:
            pass
        finally:
            for cursor in self._cursors.values():
                cursor.release()
        return False

    def _ship(self, cursor: OutboxCursor) -> bool:
        """Ship one batch; return whether it was full, so that more is probably waiting."""
        try:
            batch = cursor.next_batch(self._settings.batch_bytes)
        except CaptureError as error:
            self._set_aside(cursor, error)
            return False
        if batch is not None:
            cursor.arrived(batch, self._delivery.deliver(batch.records))
            return batch.size >= self._settings.batch_bytes
        if cursor.exhausted:
            self._delivery.deliver([cursor.heartbeat(now_ms())])
            cursor.finish()
            del self._cursors[cursor.run.producer_id]
        return False

    def _set_aside(self, cursor: OutboxCursor, error: CaptureError) -> None:
        _log.error("%s stays as it is: %s", cursor.run.path, error)
        self._unreadable.add(cursor.run.producer_id)
        del self._cursors[cursor.run.producer_id]
        cursor.release()

    def _adopt(self) -> None:
        own = self._own
        if own is not None and not self._knows(own):
            self._take(own)
        if not self._is_due("adopt", _ADOPT_SECONDS):
            return
        sweep(self._settings.directory)
        for run in list_runs(self._settings.directory):
            if not self._knows(run) and run.is_over() and self._take(run):
                _log.info("taking over %s, whose process has ended", run.producer_id)

    def _knows(self, run: Run) -> bool:
        return run.producer_id in self._cursors or run.producer_id in self._unreadable

    def _take(self, run: Run) -> bool:
        lock = run.lock_shipping()
        if lock is None:
            return False
        builder = BatchBuilder(
            run.producer_id, self._expand_formats, self._settings.max_event_bytes
        )
        self._cursors[run.producer_id] = OutboxCursor(run, lock, builder)
        return True

    def _cursor_of_own(self) -> OutboxCursor | None:
        return self._cursors.get(self._own.producer_id) if self._own else None

    def _keep(self) -> None:
        """Send heartbeats, save positions and sync files, each at its interval."""
        settings = self._settings
        if self._is_due("heartbeat", settings.heartbeat_seconds):
            time_ms = now_ms()
            beats = [cursor.heartbeat(time_ms) for cursor in self._cursors.values()]
            if not all(self._delivery.deliver(beats)) and not self._refusal_told:
                self._refusal_told = True
                _log.warning(
                    "the broker refuses heartbeats, so that the ledger lacks this machine's "
                    "producers: is its clock right?"
                )
        if self._is_due("save", _SAVE_SECONDS):
            for cursor in self._cursors.values():
                cursor.save()
        if settings.fsync == "interval" and self._is_due("sync", settings.fsync_seconds):
            for cursor in self._cursors.values():
                cursor.sync()

    def _is_due(self, what: str, every_seconds: float) -> bool:
        now = time.monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + every_seconds
        return True

    def _done(self) -> bool:
        if self._own is not None and self._own.producer_id not in self._unreadable:
            return not self._own.path.exists()
        return not self._cursors


class _JsonFormatter(logging.Formatter):
    """Formats each record as a line of JSON with the fields of the other services' logs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        fields = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "service": "shipper",
            "event": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def _configure_logging() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # The Kafka client logs each of its attempts; ``delivery`` logs what matters.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def _no_formats(_settings: CaptureSettings) -> ExpandFormats:
    return {}


def main(
    arguments: Sequence[str] | None = None,
    expand_formats: Callable[[CaptureSettings], ExpandFormats] = _no_formats,
) -> int:
    """Run the shipper.

    Args:
        arguments: Command line arguments; None for the process's own.
        expand_formats: Returns how compact records are expanded, by their type.

    Returns:
        0 if everything was shipped, 3 if it had to stop before that, 1 after an error.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tidegauge.capture.shipper", description=__doc__
    )
    parser.add_argument("--run", help="id of the run to ship; settings come on standard input")
    own: str | None = parser.parse_args(arguments).run
    _configure_logging()
    try:
        settings = (
            settings_from_json(sys.stdin.buffer.read())
            if own
            else CaptureSettings.from_environment()
        )
    except SettingsError as error:
        parser.error(str(error))
    shipper = Shipper(settings, own, expand_formats(settings))

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        shipper.stop(settings.drain_seconds if own else 0)

    signal.signal(signal.SIGTERM, ask_to_stop)
    # Ctrl-C reaches every process of the terminal; the capturing process ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN if own else ask_to_stop)
    try:
        return 0 if shipper.run() else LEFT_BEHIND
    except Exception:  # noqa: BLE001 - the supervisor starts it again
        _log.exception("the shipper cannot go on; the outbox stays as it is")
        return 1


if __name__ == "__main__":
    sys.exit(main())

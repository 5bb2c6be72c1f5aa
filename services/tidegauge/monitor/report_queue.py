"""Reports: sampled from the log, rendered by Evidently elsewhere, kept in a folder."""

from __future__ import annotations

import re
import shutil
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from tidegauge.adapters.evidently import UNFINISHED
from tidegauge.monitor.errors import BusyError, UnknownReportError
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.usecases.report_order import ReportOrder

__all__ = ["Report", "ReportJob", "ReportQueue", "ReportStore"]

_log = structlog.get_logger(__name__)
_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}", re.ASCII)
_MOMENT = len("20010909T014640")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A finished report.

    Attributes:
        report_id: Its identity.
        created_ms: When it was made.
        reference: From and to of the reference range, Unix milliseconds.
        current: The same of the current range.
        facts: What it says of itself.
        selection: Which exchanges are compared, for people.
        daily: Whether the schedule ordered it.
        size: Bytes of HTML.
    """

    report_id: str
    created_ms: int
    reference: tuple[int, int]
    current: tuple[int, int]
    facts: tuple[str, ...]
    selection: str = ""
    daily: bool = False
    size: int = 0


class ReportStore:
    """Keeps the newest reports in a folder: HTML, and beside it what it is.

    Args:
        folder: Where; made when it is needed.
        keep: Reports kept of those that people ordered.
        keep_daily: Daily reports kept beside them.
    """

    def __init__(self, folder: Path, keep: int, keep_daily: int = 14) -> None:
        self._folder = folder
        self._kept = {False: keep, True: keep_daily}

    def list(self) -> tuple[Report, ...]:
        """Return the reports, newest first."""
        found = []
        for path in self._folder.glob("*.json"):
            if _ID.fullmatch(path.stem) and self._page(path.stem).is_file():
                try:
                    found.append(msgspec.json.decode(path.read_bytes(), type=Report))
                except (msgspec.DecodeError, OSError):
                    continue  # half-written or not ours: no report
        return tuple(sorted(found, key=lambda item: item.report_id, reverse=True))

    def page(self, report_id: str) -> Path:
        """Return the file of a report's HTML.

        Raises:
            UnknownReportError: There is none.
        """
        if not _ID.fullmatch(report_id) or not self._page(report_id).is_file():
            raise UnknownReportError(f"there is no report {report_id[:40]!r}, or no longer")
        return self._page(report_id)

    def new_path(self, created_ms: int) -> tuple[str, Path]:
        """Return a new report's identity and where its HTML is to be written."""
        moment = datetime.fromtimestamp(created_ms / 1000, UTC)
        report_id = f"{moment:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        return report_id, self._page(report_id)

    def add(self, report: Report) -> Report:
        """Store a report whose HTML is written, and delete the oldest beyond the limit."""
        size = self._page(report.report_id).stat().st_size
        complete = msgspec.structs.replace(report, size=size)
        about = self._folder / f"{report.report_id}.json"
        unfinished = about.with_suffix(".part")
        unfinished.write_bytes(msgspec.json.encode(complete))
        unfinished.replace(about)
        alike = [item for item in self.list() if item.daily == report.daily]
        for old in alike[self._kept[report.daily] :]:
            self.delete(old.report_id)
        return complete

    def delete(self, report_id: str) -> None:
        """Delete a report."""
        (self._folder / f"{report_id}.json").unlink(missing_ok=True)
        self._page(report_id).unlink(missing_ok=True)

    def unfinished(self) -> tuple[str, ...]:
        """Return what there is of reports that were not finished, of which the ranges are unknown.

        A rendering that is killed leaves its folder, and one that is not described its page.
        """
        described = {report.report_id for report in self.list()}
        return tuple(
            sorted(
                path.name
                for path in self._folder.glob("*")
                if path.name.startswith(UNFINISHED)
                or (_ID.fullmatch(path.stem) and path.stem not in described)
            )
        )

    def delete_unfinished(self, name: str) -> None:
        """Delete one of ``unfinished``."""
        path = self._folder / name
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def expire(self, before_ms: int) -> None:
        """Delete the reports that were made before a moment: they have numbers on single requests.

        A copied file is younger than its report, so the time that a report's id tells decides.
        """
        for path in self._folder.glob("*"):
            try:
                if path.name.startswith(UNFINISHED):
                    if path.stat().st_mtime * 1000 < before_ms:
                        self.delete_unfinished(path.name)
                elif _ID.fullmatch(path.stem) and _made_ms(path) < before_ms:
                    self.delete(path.stem)
            except FileNotFoundError:
                continue  # deleted meanwhile
            except OSError as error:
                _log.warning("report_not_deleted", report=path.stem, error=str(error))

    def _page(self, report_id: str) -> Path:
        return self._folder / f"{report_id}.html"


def _made_ms(path: Path) -> int:
    """Return when a report was made, by its id; by its file's age if that is greater."""
    try:
        told = datetime.strptime(path.stem[:_MOMENT], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        made_ms = int(told.timestamp() * 1000)
    except ValueError:
        return path.stat().st_mtime_ns // 1_000_000
    return min(made_ms, path.stat().st_mtime_ns // 1_000_000)


@dataclass(frozen=True, slots=True)
class ReportJob:
    """A report that is being made, or could not be."""

    order: ReportOrder
    error: str | None = None


class ReportQueue:
    """Makes reports in a thread, one at a time.

    Args:
        store: Where finished reports go.
        make: Writes a comparison's HTML and returns facts on it.
        now_ms: The clock.
    """

    def __init__(
        self,
        store: ReportStore,
        make: Callable[[ReportOrder, Path], tuple[str, ...]],
        now_ms: Callable[[], int],
    ) -> None:
        self.store = store
        self._make = make
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._job: ReportJob | None = None
        self._thread: threading.Thread | None = None

    @property
    def job(self) -> ReportJob | None:
        """The job under way, or the last one if it failed."""
        return self._job

    @property
    def busy(self) -> bool:
        """Whether a report is being made."""
        return self._job is not None and self._job.error is None

    def submit(self, order: ReportOrder) -> None:
        """Start making a report.

        Raises:
            BusyError: Another one is being made.
        """
        with self._lock:
            if self.busy:
                raise BusyError("a report is being made already: try again when it is finished")
            self._job = ReportJob(order)
        self._thread = threading.Thread(target=self._work, name="report", daemon=True)
        self._thread.start()

    def wait(self, timeout_seconds: float) -> None:
        """Wait until no report is being made, or for so long."""
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def _work(self) -> None:
        job = self._job
        if job is None:
            return
        report_id, path = self.store.new_path(self._now_ms())
        try:
            order = job.order
            facts = self._make(order, path)
            self.store.add(
                Report(
                    report_id=report_id,
                    created_ms=self._now_ms(),
                    reference=(order.reference.start_ms, order.reference.end_ms),
                    current=(order.current.start_ms, order.current.end_ms),
                    facts=facts,
                    selection=order.selection,
                    daily=order.daily,
                )
            )
        except (TidegaugeError, OSError) as error:
            _log.warning("report_failed", error=str(error)[:800])
            self._job = ReportJob(job.order, error=str(error))
        except Exception:
            self._job = ReportJob(job.order, error="an unexpected error, see the log")
            raise
        else:
            _log.info("report_made", report=report_id)
            self._job = None

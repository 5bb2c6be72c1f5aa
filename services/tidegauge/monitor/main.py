"""The monitor's composition root: settings, loop, notifiers, web server; then a clean stop."""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import replace
from functools import partial
from threading import Event, Thread

import structlog
import uvicorn
from prometheus_client import REGISTRY, CollectorRegistry

from tidegauge.adapters.apprise import AppriseAddress, addresses
from tidegauge.monitor.baseline_keeper import BaselineKeeper
from tidegauge.monitor.collector import Collector
from tidegauge.monitor.cost_metrics import CostCollector
from tidegauge.monitor.costs import CatalogFile, CostBoard
from tidegauge.monitor.daily_report import DailyReports
from tidegauge.monitor.estimates import estimate
from tidegauge.monitor.loop import DEFAULT_GROUP, MonitorLoop, source_of
from tidegauge.monitor.metrics import ViewCollector
from tidegauge.monitor.notify.alert_log import KafkaAlertLog
from tidegauge.monitor.notify.notices import Notice, PacedReceiver, Pacing
from tidegauge.monitor.notify.notifier import DeliveryMetrics, Notifier, Receiver
from tidegauge.monitor.notify.receivers import Alertmanager, DeliveryError, Webhook
from tidegauge.monitor.report_queue import ReportQueue, ReportStore
from tidegauge.monitor.settings import MonitorSettings
from tidegauge.monitor.web.app import Interface, create_app
from tidegauge.monitor.web.baseline_pages import BaselinePages
from tidegauge.monitor.web.controlling import ControlPages
from tidegauge.monitor.web.cost_pages import CostPages
from tidegauge.monitor.web.guards import is_loopback
from tidegauge.monitor.web.label_pages import LabelPages
from tidegauge.monitor.web.report_pages import ReportPages
from tidegauge.monitor.web.request_pages import RequestPages
from tidegauge.monitor.web.segment_page import silence_of
from tidegauge.monitor.web.topic_pages import TopicPages
from tidegauge.monitor.web.viewers import StateByRole
from tidegauge.quality.context import ContextRule
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.processes.deadline import end_in_time
from tidegauge.runtime.settings import in_force, load
from tidegauge.runtime.telemetry import configure_logging
from tidegauge.schemas.findings import Alert
from tidegauge.streaming.processor import Output
from tidegauge.usecases.baseline_settings import BaselineSettings
from tidegauge.usecases.compare_labels import log_comparison
from tidegauge.usecases.exemplar_texts import ExemplarTexts, LogTexts
from tidegauge.usecases.explain import explain
from tidegauge.usecases.past_alerts import past_alerts
from tidegauge.usecases.recent_exchanges import LogExchanges
from tidegauge.usecases.report import report_maker
from tidegauge.workers.judge.settings import JudgeSettings

__all__ = ["receivers", "run"]

_log = structlog.get_logger(__name__)

_HTTP_STOP_SECONDS = 3
_EXPIRY_SECONDS = 60


def receivers(settings: MonitorSettings) -> tuple[Receiver, ...]:
    """Return who is told of alerts."""
    found = []
    if settings.webhook_url:
        webhook = Webhook(settings.webhook_url, settings.webhook_secret.get_secret_value())
        found.append(Receiver("webhook", webhook.send))
    if settings.alertmanager_url:
        manager = Alertmanager(settings.alertmanager_url, settings.address)

        def send(alert: Alert, now_ms: int) -> None:
            manager.send([alert], now_ms)

        found.append(Receiver("alertmanager", send, remind=manager.send))
    pacing = Pacing(
        settings.apprise_severity,
        repeat_ms=round(3_600_000 * settings.apprise_repeat_hours),
        flaps=settings.apprise_flaps,
    )
    for place, address in enumerate(addresses(settings.apprise_urls.get_secret_value()), 1):
        paced = PacedReceiver(partial(_tell, address), pacing, page_url=settings.address)
        name = f"apprise-{place}-{address.scheme}"
        found.append(
            Receiver(name, paced.send, remind=paced.remind, recall=paced.recall, forgets=False)
        )
    return tuple(found)


def _tell(address: AppriseAddress, notice: Notice) -> None:
    if not address.tell(notice.title, notice.body, notice.severity):
        raise DeliveryError(f"{address.scheme}:// did not take it: see that the address is right")


def run() -> None:
    """Run the monitor until SIGTERM or SIGINT; exit with 1 if its loop failed.

    Raises:
        SettingsError: An environment variable cannot be used.
    """
    configure_logging("monitor")
    sys.exit(serve(load(MonitorSettings), load(KafkaSettings)))


def serve(
    settings: MonitorSettings, kafka: KafkaSettings, registry: CollectorRegistry = REGISTRY
) -> int:
    """Serve until told to stop; return the exit status.

    Raises:
        TidegaugeError: A setting is wrong.
    """
    stop = Event()
    costs = _costs(settings, kafka, registry, stop)
    loop = MonitorLoop(
        kafka,
        replace(settings.plan(), untested=load(BaselineSettings).excluded_days),
        group=settings.group,
        stop_seconds=max(1.0, settings.stop_seconds - _HTTP_STOP_SECONDS - 1),
        costs=costs.view,
        ended=stop.set,
    )
    registry.register(
        ViewCollector(
            loop.view,
            now_ms,
            estimate,
            false_alarm_days=settings.false_alarm_days,
            segments=settings.metric_segments,
        )
    )
    queue = ReportQueue(
        ReportStore(settings.reports_dir, settings.reports_kept, settings.daily_reports_kept),
        report_maker(kafka, settings.report_rows, settings.models).make,
        now_ms,
    )

    def publish(control: Output) -> None:
        with Publisher(kafka) as publisher:
            publisher.publish([control])

    texts = ExemplarTexts(LogTexts(kafka), _context_rule())
    keeper = _keeper(settings, kafka, loop)
    shown = StateByRole(loop, texts)
    app = create_app(
        Interface(
            watch=loop,
            now_ms=now_ms,
            estimator=estimate,
            registry=registry,
            false_alarm_days=settings.false_alarm_days,
            refresh_seconds=settings.refresh_seconds,
            host=settings.host,
            password=settings.password.get_secret_value(),
            viewer_password=settings.viewer_password.get_secret_value(),
            page_url=settings.page_url,
            pages=(
                ControlPages(shown.view, publish, now_ms, settings.false_alarm_days),
                TopicPages(shown.view, partial(explain, kafka), now_ms, settings.false_alarm_days),
                ReportPages(queue, now_ms),
                BaselinePages(keeper.life, keeper.accept, partial(_activate, kafka)),
                LabelPages(partial(log_comparison, kafka), now_ms),
                CostPages(costs.view),
                RequestPages(LogExchanges(kafka), now_ms),
            ),
            past=partial(past_alerts, kafka),
            texts=texts,
            settings=in_force(settings),
        )
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=_HTTP_STOP_SECONDS,
            server_header=False,
        )
    )
    # uvicorn puts handlers of its own on top of these and raises the signal again at its end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    end_in_time(stop, settings.stop_seconds)
    notifiers = _notifiers(settings, kafka, loop, registry)
    watcher = Thread(target=_relay, args=(stop, server), name="stop", daemon=True)
    loop.start(stop)
    costs.start(stop)
    Thread(target=keeper.run, args=(stop,), name="baselines", daemon=True).start()
    threads = [Thread(target=c.run, args=(stop,), name="notifier", daemon=True) for c in notifiers]
    if settings.daily_report_hour is not None:
        daily = DailyReports(queue, settings.daily_report_hour, now_ms)
        Thread(target=daily.run, args=(stop,), name="daily-report", daemon=True).start()
    expiry = Thread(
        target=_expire, args=(queue.store, texts, kafka.text_ms, stop), name="expiry", daemon=True
    )
    for thread in (watcher, expiry, *threads):
        thread.start()
    _log.info("monitor_started", address=settings.address, receivers=len(notifiers))
    if not is_loopback(settings.host) and not settings.password.get_secret_value():
        _log.warning(
            "open_to_whoever_reaches_it",
            host=settings.host,
            hint="pages show prompts: set TIDEGAUGE_MONITOR_PASSWORD, or ask before it",
        )
    try:
        server.run()
    finally:
        stop.set()
        deadline = time.monotonic() + settings.stop_seconds - _HTTP_STOP_SECONDS
        loop.join(deadline - time.monotonic())
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
    _log.info("monitor_stopped", failed=loop.failure is not None)
    return 1 if loop.failure is not None or not server.started else 0


def _keeper(settings: MonitorSettings, kafka: KafkaSettings, loop: MonitorLoop) -> BaselineKeeper:
    """Return what keeps baselines; a monitor beside the first one leaves that to it."""
    baselines = load(BaselineSettings)
    return BaselineKeeper(
        BaselineStore(kafka),
        loop.view,
        baselines.plan(),
        now_ms,
        look_seconds=baselines.look_seconds,
        keeps=settings.group == DEFAULT_GROUP,
    )


def _activate(kafka: KafkaSettings, baseline_id: str) -> None:
    BaselineStore(kafka).activate(baseline_id, "put in force on the page of baselines")


def _costs(
    settings: MonitorSettings, kafka: KafkaSettings, registry: CollectorRegistry, stop: Event
) -> CostBoard:
    """Return the costs, and start to read the metrics of upstreams if they are configured."""
    catalog = CatalogFile(settings.models)
    costs = CostBoard(kafka, catalog, now_ms, settings.cost_hours)
    registry.register(CostCollector(costs.view))
    if settings.models is not None:
        publish = Publisher(kafka).publish
        Collector(catalog, publish, now_ms, settings.scrape_seconds).start(stop)
    return costs


def _context_rule() -> ContextRule:
    """Return which texts of an exchange are context, as the judge worker is told."""
    judging = load(JudgeSettings)
    return ContextRule.parse(judging.context, judging.context_tags)


def _notifiers(
    settings: MonitorSettings, kafka: KafkaSettings, loop: MonitorLoop, registry: CollectorRegistry
) -> list[Notifier]:
    metrics = DeliveryMetrics(registry)

    def firing() -> tuple[Alert, ...]:
        view = loop.view()
        return view.alerts if view else ()

    def unsilenced() -> tuple[Alert, ...]:
        view = loop.view()
        found = view.alerts if view else ()
        return tuple(a for a in found if view and not silence_of(a.verdict, view.silences))

    return [
        Notifier(
            KafkaAlertLog(kafka, f"{settings.group}-{receiver.name}", source_of(settings.group)),
            receiver,
            firing=firing if receiver.forgets else unsilenced,
            now_ms=now_ms,
            metrics=metrics,
        )
        for receiver in receivers(settings)
    ]


def _expire(store: ReportStore, texts: ExemplarTexts, kept_ms: int, stop: Event) -> None:
    """Delete reports once they are as old as texts become, and forget texts that were shown."""
    while True:
        store.expire(now_ms() - kept_ms)
        texts.forget()
        if stop.wait(_EXPIRY_SECONDS):
            return


def _relay(stop: Event, server: uvicorn.Server) -> None:
    """Let the server end when anything else has."""
    stop.wait()
    server.should_exit = True

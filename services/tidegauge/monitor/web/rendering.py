"""Pages to HTML: everything escaped, one style sheet inside, and no script but our own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from importlib.resources import files

from fastapi import FastAPI, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tidegauge.monitor.web.definitions import DEFINITIONS
from tidegauge.monitor.web.incident_lines import SIGNAL_NAMES
from tidegauge.monitor.web.now import CHARTED
from tidegauge.monitor.web.pipeline_page import WORKERS
from tidegauge.monitor.web.segment_page import SIGNALS
from tidegauge.reports import formatting
from tidegauge.reports.cost_sentences import gpu_words, kind_words
from tidegauge.reports.standing import standing
from tidegauge.reports.text import clip, lead
from tidegauge.reports.titles import metric_title, monitor_title, notice_title, score_title
from tidegauge.schemas.findings import State

__all__ = ["Renderer", "at", "mount_static"]


class Renderer:
    """Turns page models into HTML.

    Args:
        refresh_seconds: How often a page renews itself; 0 for never.
    """

    def __init__(self, refresh_seconds: int) -> None:
        self._refresh_seconds = refresh_seconds
        self._environment = Environment(
            loader=PackageLoader("tidegauge.monitor.web", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(
            at=at,
            byte_size=formatting.byte_size,
            clip=clip,
            count=formatting.count,
            dollars=formatting.dollars,
            duration=formatting.duration,
            gpu_words=gpu_words,
            kind_words=kind_words,
            lead=lead,
            milliseconds=formatting.milliseconds,
            moment=formatting.moment,
            metric_title=metric_title,
            monitor_title=monitor_title,
            notice=notice_title,
            score_title=score_title,
            number=formatting.number,
            percent=formatting.percent,
            points=formatting.points,
            times=formatting.times,
        )
        style = (files("tidegauge.monitor.web") / "templates" / "style.css").read_text("utf-8")
        self._environment.globals.update(
            unknown=formatting.UNKNOWN,
            definitions=DEFINITIONS,
            charted_rows=CHARTED,
            signals=dict(SIGNALS),
            signal_names=dict(SIGNAL_NAMES),
            workers=dict(WORKERS),
            standings=[standing(state) for state in State],
            # Our own file, and the only text that is not escaped.
            style=Markup(style),  # noqa: S704
        )
        self._style = style
        # Read now, so that a release that is installed under a running monitor breaks no page.
        for name in self._environment.list_templates(extensions=["html"]):
            self._environment.get_template(name)

    @cached_property
    def policy(self) -> str:
        """The Content-Security-Policy of every page: our own style and scripts, nothing else."""
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        return (
            f"default-src 'none'; style-src 'self' 'sha256-{digest}'; script-src 'self'; "
            "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        )

    def render(
        self,
        template: str,
        values: Mapping[str, object],
        *,
        refresh_seconds: int = 0,
        live: bool = False,
    ) -> str:
        """Return a page.

        Args:
            template: Name of the template.
            values: What it shows.
            refresh_seconds: How often it renews itself; 0 for never.
            live: Whether it renews itself as often as the settings say.
        """
        seconds = self._refresh_seconds if live else refresh_seconds
        return self._environment.get_template(template).render(refresh_seconds=seconds, **values)


def at(time_ms: int | None, form: str = "time") -> Markup:
    """Return a moment that a script turns into the reader's time, and that reads as UTC without.

    Args:
        time_ms: Unix milliseconds.
        form: ``time`` for hours and minutes, ``date`` for the date as well.
    """
    if time_ms is None:
        return escape(formatting.UNKNOWN)
    then = datetime.fromtimestamp(time_ms / 1000, UTC)
    shown = f"{then:%H:%M} UTC" if form == "time" else f"{then:%Y-%m-%d %H:%M} UTC"
    return Markup('<time datetime="{}" title="{}" data-form="{}">{}</time>').format(
        f"{then:%Y-%m-%dT%H:%M:%SZ}", formatting.moment(time_ms), form, shown
    )


def mount_static(app: FastAPI) -> None:
    """Serve the scripts and the style of charts; the names are ours, and nothing else is read."""
    folder = files("tidegauge.monitor.web") / "static"
    kinds = {"js": "text/javascript", "css": "text/css"}
    served = {
        item.name: (item.read_bytes(), kinds[item.name.rpartition(".")[2]])
        for item in folder.iterdir()
        if item.name.rpartition(".")[2] in kinds
    }

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        if name not in served:
            return Response("there is no such file\n", 404, media_type="text/plain")
        body, kind = served[name]
        headers = {"Cache-Control": "private, max-age=3600"}
        return Response(body, media_type=kind, headers=headers)

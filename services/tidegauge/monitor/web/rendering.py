"""Pages to HTML: everything escaped, one style sheet inside, no script at all."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tidegauge.monitor.web.page import Page
from tidegauge.monitor.web.segments import SIGNALS, Name, SegmentPage
from tidegauge.reports import formatting
from tidegauge.reports.standing import standing
from tidegauge.reports.text import clip, lead
from tidegauge.schemas.findings import State

__all__ = ["Renderer"]


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
            byte_size=formatting.byte_size,
            clip=clip,
            count=formatting.count,
            dollars=formatting.dollars,
            duration=formatting.duration,
            lead=lead,
            milliseconds=formatting.milliseconds,
            moment=formatting.moment,
            number=formatting.number,
            percent=formatting.percent,
            points=formatting.points,
            times=formatting.times,
        )
        style = (files("tidegauge.monitor.web") / "templates" / "style.css").read_text("utf-8")
        self._environment.globals.update(
            unknown=formatting.UNKNOWN,
            signals=dict(SIGNALS),
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
        """The Content-Security-Policy of every page: our style sheet, and nothing else."""
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        return (
            f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )

    def page(self, page: Page, *, refresh: bool = True) -> str:
        """Return the overview."""
        seconds = self._refresh_seconds if refresh else 0
        return self.render("page.html", {"page": page}, refresh_seconds=seconds)

    def segment(self, title: Name, items: Sequence[SegmentPage], page: Page) -> str:
        """Return the page of one segment, or of all those that a wider one consists of."""
        shown = {title.text, *(item.name.text for item in items)}
        changes = [line for line in page.changes if line.name.text in shown]
        values = {"title": title, "items": items, "page": page, "changes": changes}
        return self.render("segment.html", values, refresh_seconds=self._refresh_seconds)

    def waiting(self) -> str:
        """Return the page to show before there is anything to show."""
        return self.render("waiting.html", {}, refresh_seconds=self._refresh_seconds)

    def render(
        self, template: str, values: Mapping[str, object], *, refresh_seconds: int = 0
    ) -> str:
        """Return another page."""
        found = self._environment.get_template(template)
        return found.render(refresh_seconds=refresh_seconds, **values)

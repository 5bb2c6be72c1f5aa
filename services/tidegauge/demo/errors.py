"""What can go wrong in the demonstration.

TidegaugeError
└── DemoError
    ├── MissingPartError
    └── PromptsError
"""

from __future__ import annotations

from tidegauge.schemas.errors import TidegaugeError

__all__ = ["DemoError", "MissingPartError", "PromptsError"]


class DemoError(TidegaugeError):
    """The demonstration cannot go on."""


class MissingPartError(DemoError):
    """An embedded part does not run on this machine."""

    def __init__(self, part: str, why: str, variable: str) -> None:
        """Name the part, why it is missing, and the variable that replaces it."""
        super().__init__(f"{part} is not available here ({why}): set {variable} to one of yours")
        self.part = part
        self.variable = variable


class PromptsError(DemoError):
    """A file of prompts cannot be used."""

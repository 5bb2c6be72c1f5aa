"""What can go wrong in the demonstration.

TidegaugeError
└── DemoError
    ├── MissingPartError
    ├── PromptsError
    └── VllmRuntimeError
        ├── VllmPlatformError
        ├── VllmInstallError
        ├── ModelConversionError
        └── VllmServerError
"""

from __future__ import annotations

from tidegauge.schemas.errors import TidegaugeError

__all__ = [
    "DemoError",
    "MissingPartError",
    "ModelConversionError",
    "PromptsError",
    "VllmInstallError",
    "VllmPlatformError",
    "VllmRuntimeError",
    "VllmServerError",
]


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


class VllmRuntimeError(DemoError):
    """The embedded vLLM cannot be had or does not run."""


class VllmPlatformError(VllmRuntimeError):
    """There is no build of the embedded vLLM for this machine."""

    def __init__(self, *, system: str, machine: str) -> None:
        """Name the part that is missing and the variables that replace it."""
        super().__init__(
            f"the embedded vLLM runs on Linux x86-64, this is {system} {machine}: run an "
            "OpenAI-compatible server elsewhere and set TIDEGAUGE_UPSTREAM_URL (the served "
            "model) and TIDEGAUGE_JUDGE_URL (the judge) to its address"
        )


class VllmInstallError(VllmRuntimeError):
    """vLLM's environment could not be made."""


class ModelConversionError(VllmRuntimeError):
    """The packaged weights could not be turned into a folder that vLLM serves."""


class VllmServerError(VllmRuntimeError):
    """The server did not start, or ended."""

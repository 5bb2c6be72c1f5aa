"""What can go wrong while an embedded vLLM is set up and run.

TidegaugeError
└── VllmRuntimeError
    ├── VllmPlatformError
    ├── VllmInstallError
    ├── ModelConversionError
    └── VllmServerError
"""

from __future__ import annotations

from tidegauge.schemas import TidegaugeError

__all__ = [
    "ModelConversionError",
    "VllmInstallError",
    "VllmPlatformError",
    "VllmRuntimeError",
    "VllmServerError",
]


class VllmRuntimeError(TidegaugeError):
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

"""The ``tidegauge`` command: where every process starts and every error ends."""

from __future__ import annotations

import sys

from tidegauge.schemas.errors import TidegaugeError

__all__ = ["main"]

_FAILED = 2
_INTERRUPTED = 130


def main() -> None:
    """Run the command line; what tidegauge can explain is one line, not a traceback."""
    try:
        _load_and_run()
    except TidegaugeError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _load_and_run() -> None:
    try:
        from tidegauge.cli.commands import app  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as error:
        _fail(f"the command line needs {error.name}: pip install 'tidegauge[service]'")
    app()


def _fail(message: str) -> None:
    sys.stderr.write(f"tidegauge: {message}\n")
    sys.exit(_FAILED)


if __name__ == "__main__":
    main()

"""The ``tidegauge`` command: where every process starts and every error ends."""

from __future__ import annotations

import os
import sys

from tidegauge.schemas.errors import TidegaugeError

__all__ = ["main"]

_FAILED = 2
_INTERRUPTED = 130
_BROKEN_PIPE = 141


def main() -> None:
    """Run the command line; what can be explained is one line, not a traceback."""
    try:
        _load_and_run()
    except TidegaugeError as error:
        _fail(str(error))
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_BROKEN_PIPE)
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"cannot use {os.fsdecode(error.filename)!r}: {error.strerror}; name another path")
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

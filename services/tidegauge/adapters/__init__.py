"""Adapters to other software: vLLM, sentence-transformers and Evidently."""

"""Adapters to other software: sentence-transformers, vLLM, Evidently, Apprise and NVML."""

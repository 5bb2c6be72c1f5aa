"""The OpenAI-compatible gateway: it forwards bytes, and records what it forwarded."""

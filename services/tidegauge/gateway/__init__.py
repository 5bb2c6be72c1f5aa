"""The OpenAI-compatible gateway: forwards requests and captures the exchanges."""

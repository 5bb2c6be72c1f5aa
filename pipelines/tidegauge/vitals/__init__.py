"""Latency, errors, tokens and cost: what a response adds to its segment's window."""

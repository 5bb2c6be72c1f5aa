"""Drift of requests: baselines, and the projection of requests onto them."""

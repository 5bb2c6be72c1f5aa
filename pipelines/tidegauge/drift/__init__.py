"""Drift of what is asked: baselines, and how a request looks from one."""

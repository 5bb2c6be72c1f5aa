"""Judging answers: which, by whom, whether the judge can be trusted, and the sum of it."""

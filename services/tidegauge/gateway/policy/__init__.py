"""Policies for requests and answers: keys, limits, privacy, checks."""

"""Policies for requests and answers: keys, limits, checks."""

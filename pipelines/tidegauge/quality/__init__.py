"""Judging responses: sampling, judges and their qualification, and estimates from their scores."""

"""What a request may do and what an answer must be: keys, limits, privacy, checks."""

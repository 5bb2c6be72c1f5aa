"""Child processes: start, readiness, supervision, end."""

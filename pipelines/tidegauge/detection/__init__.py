"""One engine for five signals: always-valid tests on rates, and intervals."""

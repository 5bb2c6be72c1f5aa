"""The command line: ``tidegauge`` and its commands."""

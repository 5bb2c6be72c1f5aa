"""What command line and web have in common: baselines, explanations, replays, reports."""

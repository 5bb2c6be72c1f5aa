"""The processor contract, deduplication, event-time windows, checkpoints, mergeable sketches."""

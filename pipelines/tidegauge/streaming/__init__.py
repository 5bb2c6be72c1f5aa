"""The consumer's contract, event-time windows, watermarks, and the ledger."""

"""The consumer's contract, event-time blocks, watermarks, and the ledger."""

"""The workers, consumers that turn events into sketches: drift, vitals, judge."""

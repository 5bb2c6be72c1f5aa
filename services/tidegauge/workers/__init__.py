"""The consumers that turn events into sketches: drift, vitals, judge."""

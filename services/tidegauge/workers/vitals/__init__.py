"""The vitals worker: responses in, sketches of latency, errors, tokens and cost out."""

"""Whether alarms keep their promise: real and simulated traffic through the product's own path."""

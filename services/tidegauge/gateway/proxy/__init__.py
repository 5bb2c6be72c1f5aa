"""Forwards accepted requests to upstreams and relays their answers."""

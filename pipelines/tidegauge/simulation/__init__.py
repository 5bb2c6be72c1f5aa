"""Simulated traffic: arrivals, conversations, load on a server, and the events that they give."""

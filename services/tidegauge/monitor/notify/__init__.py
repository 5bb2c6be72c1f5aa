"""Delivery of alerts to webhooks and to Alertmanager."""

"""Delivery of alerts to webhooks, to Alertmanager and, through Apprise, to chats and mail."""

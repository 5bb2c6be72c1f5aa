"""The monitor process: its loop, pages and API, notifications, metrics and reports."""

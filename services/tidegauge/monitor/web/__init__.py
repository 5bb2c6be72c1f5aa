"""The monitor's pages and API."""

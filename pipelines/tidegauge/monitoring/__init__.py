"""The monitor's logic: merges windows, tests rates, latches alarms, accounts for events."""

"""What the monitor thinks: blocks merged, rates tested, alarms latched, events accounted for."""

"""What the monitor thinks: windows merged, rates tested, alarms latched, events accounted for."""

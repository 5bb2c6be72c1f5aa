"""What people read: formatted numbers and texts, tables, alarm cards and report rows."""

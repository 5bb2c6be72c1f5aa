"""From an accepted request to the upstream and back."""

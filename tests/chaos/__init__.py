"""What happens when many come at once, and when things die."""

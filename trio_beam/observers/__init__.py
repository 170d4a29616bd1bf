"""What can be shown of a search while it runs: one observer a file."""

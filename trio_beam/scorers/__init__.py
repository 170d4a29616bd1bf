"""What a candidate is worth: one scorer a file, found by `core.registry`."""

"""Which candidates stay: one selection a file, found by `core.registry`."""

"""One kind a file; importing one adds its quirks to the table."""

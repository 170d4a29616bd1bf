"""One server: slots, retries, hedging, detection, capabilities, probe."""

"""What the calls to reward models share."""

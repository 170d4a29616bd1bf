"""Code shared by the calls to reward models."""

"""Shared by all commands: signals, exit codes, plain errors, generated options. Private."""

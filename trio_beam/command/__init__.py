"""Shared by all commands: signals, exit codes, plain errors, options made from declarations. Private."""

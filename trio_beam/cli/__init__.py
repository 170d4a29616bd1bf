"""The command line: one command a file, and the group in `main`. Needs the extra ``cli``."""

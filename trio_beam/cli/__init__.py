"""The command line: one command per file, and the group in `main`. Needs the extra ``cli``."""

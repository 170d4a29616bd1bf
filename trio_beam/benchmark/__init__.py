"""Benchmark runs that compare strategies on the same problems and survive a crash.

An application on top of the library (extra ``bench``), which no other package imports. From the bottom up:

- `common`: problems and grades, optional packages, encodings, near misses. `sandbox`: runs model code.
- `sets`: problems and their grading, one file per benchmark. `registry`: all of them by name.
- `settings`, `keys`: the runner's keys, and those generated from the declarations of strategies. `original`:
  aliases of the original's. `values`, `overrides`, `config_files`, `assignments`, `config`: from a command
  line and files to typed settings.
- `providers`, `models`: the server. `strategies`, `identity`: the searches and their identities. `prompts`.
  `plan`: all decisions of a run.
- `records`, `store`: the answers on disk. `run`: runs strategies on problems. `progress`: shows its progress.
- `statistics`, `summary`, `tables`, `series`, `plots`, `report`, `predictions`: the results.
- `session`, `main`: the command. `start`, `command`: how it is started, with or without the extra.
"""

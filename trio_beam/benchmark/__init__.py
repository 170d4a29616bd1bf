"""Benchmark runs: strategies side by side on the same problems, in a run that survives a crash.

An application on top of the library (extra ``bench``; nothing else here imports it). The map, from below:

- `common`: problems and grades, optional packages, encodings, near misses. `sandbox`: runs model code.
- `sets`: problems and their grading, one file a benchmark. `registry`: all of them by name.
- `settings`, `keys`: the runner's keys, and those made from the declarations of strategies. `original`: other
  names of them. `values`, `overrides`, `config_files`, `assignments`, `config`: from a command line and files
  to typed settings.
- `providers`, `models`: the server. `strategies`, `identity`: the searches, and what tells them apart.
  `prompts`. `plan`: all of it decided.
- `records`, `store`: the answers on disk. `run`: problems through strategies. `progress`: shown meanwhile.
- `statistics`, `summary`, `tables`, `series`, `plots`, `report`, `predictions`: the results.
- `session`, `main`: the command. `start`, `command`: how it is started, with or without the extra.
"""

"""Benchmark runs: strategies side by side on the same problems, in a run that survives a crash.

An application on top of the library (extra ``bench``; nothing else here imports it). The map:

- `settings`, `config`, `overrides`: what a command line says, typed and checked. `models`: which server
  that means; `strategies`: which searches; `prompts`; `plan`: all of it decided.
- `problem` and what it opens: problems and their grading, one file a benchmark in `sets`. `sandbox`: where
  programs are run and verifiers asked.
- `records`, `store`: what is on disk.
- `run`: problems through strategies. `progress`: what is shown meanwhile.
- `statistics`, `summary`, `report`, `plots`: what is made of the records.
- `session`, `main`: the command.
"""

"""The code that runs in the sandbox. It imports the standard library and, for verifiers, their packages.

`start` runs first. It takes over the two pipes, then plays one of three roles:

- `program` runs what a model wrote, and calls its function on demand;
- `checks` runs a problem's tests, which call that function through the pipes;
- `verifiers` asks math-verify and reasoning-gym, in a fork for each answer.

Messages are lines (`channel`). A program and its tests exchange plain data (`values`). What a verifier
would pass to ``eval`` is passed to `evaluate` instead. `limits` has the limits of resources.

In the sandbox this folder is mounted alone, as ``trio_beam/benchmark/sandbox/inside`` below a path that is
otherwise empty, so that nothing else of this library can be seen or imported.
"""

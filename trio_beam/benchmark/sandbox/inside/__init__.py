"""The programs that run in the sandbox. Standard library only, but for the verifiers' own packages.

`start` is run first: it takes the two pipes, sets the limits and hands over to one of

- `program`: runs what a model wrote, and calls its function when it is told to;
- `checks`: runs a problem's tests, which call that function through a pipe;
- `verifiers`: asks math-verify and reasoning-gym, in a fork for each answer.

They talk in lines: a word, then, if there is more to say, a space and the rest (`channel`). What the
program and its tests exchange is plain data (`values`); what a verifier would pass to ``eval`` goes to
`evaluate` instead.

In there the folder is mounted alone, as ``trio_beam.benchmark.sandbox.inside`` below an otherwise empty
path, so that nothing else of this library is visible or imported.
"""

"""The process that runs the embedded model, started by `local.server`.

It imports nothing from trio_beam, so it starts fast. Its first line of output is its address. It ends
when its standard input is closed, which also happens when its parent is killed.
"""

import argparse
import os
import signal
import sys


def main() -> None:
    """Serve until standard input is closed."""
    # It has its own session, which does not suffice everywhere: the parent ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parser = argparse.ArgumentParser()
    for name in ("--model-file", "--alias"):
        parser.add_argument(name, required=True)
    for name in ("--port", "--slots", "--context", "--threads"):
        parser.add_argument(name, type=int, required=True)
    options = parser.parse_args()

    # Its threads wait for each other many times per token. OpenMP's default, spinning, would make them
    # tenfold slower or worse whenever anything else needs a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

    import xllamacpp  # noqa: PLC0415  # after the arguments: it takes a while

    params = xllamacpp.CommonParams()
    params.model.path = options.model_file
    params.model_alias = {options.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = options.port
    params.n_parallel = options.slots
    # Not unified: every slot has its own cache, so results do not depend on other slots.
    params.kv_unified = False
    params.n_ctx = options.context * options.slots
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    params.endpoint_props = params.endpoint_slots = params.endpoint_metrics = True
    # No prompt cache besides the slots' own: with one, llama.cpp occasionally uses a wrong context for
    # requests of several choices (docs/servers.md; tests/e2e/test_exact.py).
    params.cache_ram_mib = 0
    params.ui = False
    params.verbosity = 0
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    del server  # stops it


if __name__ == "__main__":
    main()

"""The process that runs the embedded model; started by `local.server`, never by hand.

It imports nothing of trio_beam, so that it starts fast. Its first line of output is its address. It
ends when its standard input ends, which also happens if its parent is killed.
"""

import argparse
import os
import signal
import sys


def main() -> None:
    """Serve until standard input ends."""
    # Started in a session of its own, but that is not everywhere enough: the parent ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parser = argparse.ArgumentParser()
    for name in ("--model-file", "--alias"):
        parser.add_argument(name, required=True)
    for name in ("--port", "--slots", "--context", "--threads"):
        parser.add_argument(name, type=int, required=True)
    options = parser.parse_args()

    # Its threads wait for each other many times a token. By spinning, which OpenMP does otherwise, they
    # keep each other from working wherever anything else wants a core: tenfold slower and worse.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

    import xllamacpp  # noqa: PLC0415  # after the arguments: it takes a while

    params = xllamacpp.CommonParams()
    params.model.path = options.model_file
    params.model_alias = {options.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = options.port
    params.n_parallel = options.slots
    # Not unified: every slot has a cache of its own, so a result does not depend on its neighbours.
    params.kv_unified = False
    params.n_ctx = options.context * options.slots
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    params.endpoint_props = params.endpoint_slots = params.endpoint_metrics = True
    # No cache of prompts besides the slots' own: with it, and requests of several choices, llama.cpp
    # now and then answers from a wrong context (docs/servers.md; tests/e2e/test_exact.py).
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

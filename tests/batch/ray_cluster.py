"""A Ray cluster of two machines, both this one, in processes of its own.

``python -m tests.batch.ray_cluster`` prints its address. With each line that it reads it kills the machine
that is not the head, as a loss of power would, and says so; it ends with its standard input.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from trio_beam.batch import ray_engine

#: Of all processes: they reach each other by loopback alone.
ENVIRONMENT = ray_engine._ENVIRONMENT | ray_engine._ALONE
#: As quickly as a machine can be missed, but not if it is only slow.
_HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 2,
}


def at_last(add: Callable[[], Any]) -> Any:
    """Add a machine: on a busy one Ray gives up too early."""
    for left in reversed(range(4)):
        try:
            return add()
        except Exception:
            if not left:
                raise
    raise AssertionError


def main() -> None:
    os.environ |= ENVIRONMENT
    from ray.cluster_utils import Cluster  # noqa: PLC0415  # reads the environment

    machine: dict[str, Any] = {
        "num_cpus": 1,
        "object_store_memory": 80 * 2**20,
        "include_dashboard": False,
    }
    cluster = Cluster()
    try:
        add = partial(cluster.add_node, **machine)
        at_last(partial(add, _system_config=_HEALTH))
        other = at_last(add)
        print(cluster.address, flush=True)
        for _ in sys.stdin:
            cluster.remove_node(other, allow_graceful=False)
            print("killed", flush=True)
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()

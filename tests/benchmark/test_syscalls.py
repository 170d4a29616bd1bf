"""The filter of system calls, run here as the kernel would run it, for both machines."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.benchmark.jail import syscalls

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOWED, KILLED = 0x7FFF0000, 0x80000000
REFUSED, UNKNOWN = (0x00050000 | code for code in (errno.EPERM, errno.ENOSYS))
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINES = sorted(ARCHITECTURES)

#: Some calls that must never be there: x86-64, arm64.
FORBIDDEN = {
    "socket": (41, 198),
    "connect": (42, 203),
    "ptrace": (101, 117),
    "mount": (165, 40),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "process_vm_writev": (311, 271),
    "openat2": (437, 437),
    "keyctl": (250, 219),
    "reboot": (169, 142),
}
#: Some that only a room allows.
ROOMY = {"kill": (62, 129), "unlinkat": (263, 35), "execve": (59, 221), "ftruncate": (77, 46)}
USUAL = {"read": (0, 63), "write": (1, 64), "exit_group": (231, 94), "mmap": (9, 222)}


def verdict(machine: str, working: bool, number: int, *arguments: int, arch: int = 0) -> int:
    """What the filter says of a call: it is run like the kernel runs it."""
    code = syscalls.program(machine, working=working)
    words = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", number, arch or ARCHITECTURES[machine], 0, *words)
    place, accumulator = 0, 0
    while True:
        kind, if_true, if_false, value = struct.unpack_from("=HBBI", code, 8 * place)
        place += 1
        if kind == RETURN:
            found: int = value
            return found
        if kind == LOAD:
            (accumulator,) = struct.unpack_from("=I", data, value)
            continue
        holds = {
            EQUAL: accumulator == value,
            AT_LEAST: accumulator >= value,
            ANY_BIT: bool(accumulator & value),
        }[kind]
        place += if_true if holds else if_false


def column(machine: str) -> int:
    return ("x86_64", "aarch64").index(machine)


@pytest.mark.parametrize("working", [False, True])
@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_forbidden_and_what_is_not(machine: str, working: bool) -> None:
    for name, numbers in FORBIDDEN.items():
        assert verdict(machine, working, numbers[column(machine)]) == REFUSED, name
    for name, numbers in ROOMY.items():
        expected = ALLOWED if working else REFUSED
        assert verdict(machine, working, numbers[column(machine)]) == expected, name
    for name, numbers in USUAL.items():
        assert verdict(machine, working, numbers[column(machine)]) == ALLOWED, name


@pytest.mark.parametrize("machine", MACHINES)
def test_files_are_opened_for_reading_only(machine: str) -> None:
    number = (257, 56)[column(machine)]
    for flags in (0, 0o2000000, 0o4000, 0o200000):  # close on exec, non-blocking, a folder
        assert verdict(machine, False, number, 3, 4, flags) == ALLOWED
    for flags in (0o1, 0o2, 0o100, 0o1000, 0o2000, 0o20200000):
        assert verdict(machine, False, number, 3, 4, flags) == REFUSED
        assert verdict(machine, True, number, 3, 4, flags) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_a_room_is_not_left_by_new_namespaces(machine: str) -> None:
    number = (56, 220)[column(machine)]
    assert verdict(machine, True, number, 17) == ALLOWED
    for bit in (0x20000, *(1 << n for n in range(25, 31))):
        assert verdict(machine, True, number, 17 | bit) == REFUSED
    assert verdict(machine, False, number, 17) == REFUSED
    assert verdict(machine, True, 435) == UNKNOWN


@pytest.mark.parametrize("machine", MACHINES)
def test_the_limits_of_others_stay_as_they_are(machine: str) -> None:
    number = (302, 261)[column(machine)]
    assert verdict(machine, False, number, 0) == ALLOWED
    assert verdict(machine, False, number, 1234) == REFUSED


@pytest.mark.parametrize("machine", MACHINES)
def test_of_fcntl_and_ioctl_only_the_harmless(machine: str) -> None:
    fcntl, ioctl = ((72, 16), (25, 29))[column(machine)]
    assert verdict(machine, False, fcntl, 3, 1030) == ALLOWED
    for command in (6, 8, 10, 15, 37, 1024):  # a lock, owner, signal, owner, lock, lease
        assert verdict(machine, False, fcntl, 3, command) == REFUSED
    assert verdict(machine, False, ioctl, 0, 0x5401) == ALLOWED
    assert verdict(machine, True, ioctl, 0, 0x5412) == REFUSED  # as if somebody had typed it


@given(
    machine=st.sampled_from(MACHINES),
    working=st.booleans(),
    number=st.integers(0, 2**32 - 1),
    arch=st.integers(1, 2**32 - 1),
)
def test_another_architecture_is_killed(
    machine: str, working: bool, number: int, arch: int
) -> None:
    expected = KILLED if arch != ARCHITECTURES[machine] else verdict(machine, working, number)
    assert verdict(machine, working, number, arch=arch) == expected


@given(machine=st.sampled_from(MACHINES), number=st.integers(512, 2**32 - 1))
def test_what_a_later_kernel_adds_is_refused(machine: str, number: int) -> None:
    assert verdict(machine, True, number) == REFUSED


@given(machine=st.sampled_from(MACHINES), working=st.booleans(), number=st.integers(0, 511))
def test_every_number_has_a_verdict(machine: str, working: bool, number: int) -> None:
    assert verdict(machine, working, number) in (ALLOWED, REFUSED, UNKNOWN)


@given(machine=st.sampled_from(MACHINES), number=st.integers(0, 511))
def test_a_room_allows_what_is_allowed_elsewhere(machine: str, number: int) -> None:
    if verdict(machine, False, number) == ALLOWED:
        assert verdict(machine, True, number) == ALLOWED

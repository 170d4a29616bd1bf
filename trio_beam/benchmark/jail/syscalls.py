"""Which system calls model code may make: numbers, and the filter that holds the kernel to them.

Everything that is not on the list is refused (EPERM), so what a later kernel adds is refused as well.
`READING` is what a program needs that computes, reads files and writes to what it has open: it cannot
open a file for writing, start or signal a process, or have a socket. `WORKING` is for where nothing
is in reach that is worth protecting (a namespace of its own): files, processes, signals, still no
sockets, mounts, namespaces or tracing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

from trio_beam.benchmark.jail import kernel

#: Name, number on x86-64, number on arm64 ("-": it has none).
READING = """
    read:0/63 write:1/64 close:3/57 fstat:5/80 stat:4/- lstat:6/- newfstatat:262/79 statx:332/291
    statfs:137/43 fstatfs:138/44 poll:7/- ppoll:271/73 lseek:8/62 mmap:9/222 mprotect:10/226
    munmap:11/215 brk:12/214 rt_sigaction:13/134 rt_sigprocmask:14/135 rt_sigreturn:15/139
    rt_sigpending:127/136 rt_sigtimedwait:128/137 rt_sigsuspend:130/133 pread64:17/67 readv:19/65
    writev:20/66 preadv:295/69 access:21/- faccessat:269/48 faccessat2:439/439 pipe:22/- pipe2:293/59
    select:23/- pselect6:270/72 mremap:25/216 madvise:28/233 mincore:27/232 msync:26/227 dup:32/23
    dup2:33/- dup3:292/24 nanosleep:35/101 clock_nanosleep:230/115 getitimer:36/102 setitimer:38/103
    alarm:37/- pause:34/- getpid:39/172 getppid:110/173 gettid:186/178 getuid:102/174 geteuid:107/175
    getgid:104/176 getegid:108/177 getresuid:118/148 getresgid:120/150 getgroups:115/158 getpgrp:111/-
    getpgid:121/155 getsid:124/156 exit:60/93 exit_group:231/94 uname:63/160 getcwd:79/17 chdir:80/49
    fchdir:81/50 getdents:78/- getdents64:217/61 readlink:89/- readlinkat:267/78 gettimeofday:96/169
    time:201/- getrusage:98/165 sysinfo:99/179 times:100/153 sigaltstack:131/132 arch_prctl:158/-
    futex:202/98 futex_waitv:449/449 sched_yield:24/124 sched_getaffinity:204/123
    sched_get_priority_max:146/125 sched_get_priority_min:147/126 set_tid_address:218/96
    set_robust_list:273/99 clock_gettime:228/113 clock_getres:229/114 getrandom:318/278
    getrlimit:97/163 restart_syscall:219/128 membarrier:324/283 rseq:334/293 epoll_create:213/-
    epoll_create1:291/20 epoll_ctl:233/21 epoll_wait:232/- epoll_pwait:281/22 eventfd:284/-
    eventfd2:290/19 getcpu:309/168 fadvise64:221/223 umask:95/166 wait4:61/260 waitid:247/95
"""
WORKING = """
    fork:57/- vfork:58/- kill:62/129 tkill:200/130 tgkill:234/131 execve:59/221 setsid:112/157
    setpgid:109/154 creat:85/- truncate:76/45 ftruncate:77/46 unlink:87/- unlinkat:263/35 rename:82/-
    renameat:264/38 renameat2:316/276 rmdir:84/- mkdir:83/- mkdirat:258/34 link:86/- linkat:265/37
    symlink:88/- symlinkat:266/36 chmod:90/- fchmod:91/52 fchmodat:268/53 utime:132/- utimes:235/-
    utimensat:280/88 futimesat:261/- pwrite64:18/68 pwritev:296/70 fsync:74/82 fdatasync:75/83
    flock:73/32 fallocate:285/47 socketpair:53/199 sendto:44/206 recvfrom:45/207 sendmsg:46/211
    recvmsg:47/212 shutdown:48/210 getsockopt:55/209 setsockopt:54/208 prctl:157/167 setrlimit:160/164
    sendfile:40/71 copy_file_range:326/285 timer_create:222/107 timer_settime:223/110
    timer_delete:226/111
"""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_REFUSE = _ERROR | errno.EPERM
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16  # of the kernel's struct seccomp_data

#: Name of the machine: which number of the two, and what the kernel calls the architecture.
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32 = 0x40000000  # on x86-64, the numbers of another set of the same calls start here

#: Of `open`: for writing, O_CREAT, O_TRUNC, O_APPEND, O_TMPFILE.
_WRITING = 0x3 | 0x40 | 0x200 | 0x400 | 0x400000
_NAMESPACES = 0x7E020000  # all CLONE_NEW... together
_IOCTLS = (
    0x5401,
    0x541B,
    0x5421,
    0x5450,
    0x5451,
)  # is it a terminal, FIONREAD, FIONBIO, FIO(N)CLEX
_FCNTLS = (0, 1, 2, 3, 4, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC
_LOCKS = (5, 6, 7)  # a lock on a file that somebody else writes would be harm

_Instruction = tuple[int, int, int, int]


def supported() -> bool:
    """Whether the filter is known for this machine."""
    machine = os.uname().machine
    return sys.platform == "linux" and machine in _MACHINES and sys.maxsize > 2**32


def program(machine: str, *, working: bool) -> bytes:
    """The filter in the kernel's own form (classic BPF).

    Args:
        machine: as ``os.uname().machine`` has it.
        working: `WORKING` besides `READING`.
    """
    column, architecture = _MACHINES[machine]
    code: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _REFUSE),
    ]
    numbers = _numbers(READING + WORKING if working else READING, column)
    for number in numbers.values():
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    every = _numbers("open:2/- openat:257/56 clone:56/220 ioctl:16/29 fcntl:72/25", column)
    every |= _numbers("prlimit64:302/261 clone3:435/435", column)
    code += _one_of(every["ioctl"], 1, _IOCTLS)
    code += _one_of(every["fcntl"], 1, _FCNTLS + (_LOCKS if working else ()))
    code += _one_of(every["prlimit64"], 0, (0,))
    # The C library tries the older call only if there is no such call as this one.
    code += [(_EQUAL, 0, 1, every["clone3"]), (_RETURN, 0, 0, _ERROR | errno.ENOSYS)]
    if working:
        code += _none_of(every["clone"], 0, _NAMESPACES)
    for name, argument in (("open", 1), ("openat", 2)):
        if name in every:
            code += _none_of(every[name], argument, 0 if working else _WRITING)
    code.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def install(*, working: bool) -> None:
    """Hold this process, and whatever it starts, to the list; there is no way back.

    Raises:
        OSError: the kernel does not do it.
    """
    code = ctypes.create_string_buffer(program(os.uname().machine, working=working))
    length = (len(code) - 1) // 8

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    found = Program(length, ctypes.addressof(code))
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_SECCOMP, 2, ctypes.byref(found))


def _numbers(table: str, column: int) -> dict[str, int]:
    pairs = (entry.split(":") for entry in table.split())
    found = {name: numbers.split("/")[column] for name, numbers in pairs}
    return {name: int(number) for name, number in found.items() if number != "-"}


def _argument(index: int) -> _Instruction:
    """The lower half of an argument; both machines have it first."""
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * index)


def _one_of(number: int, index: int, values: tuple[int, ...]) -> list[_Instruction]:
    """Allow a call if an argument is one of these."""
    body = [_argument(index)]
    for value in values:
        body += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    body.append((_RETURN, 0, 0, _REFUSE))
    return [(_EQUAL, 0, len(body), number), *body]


def _none_of(number: int, index: int, bits: int) -> list[_Instruction]:
    """Allow a call if an argument has none of these bits."""
    body = [
        _argument(index),
        (_ANY_BIT, 1, 0, bits),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return [(_EQUAL, 0, len(body), number), *body]

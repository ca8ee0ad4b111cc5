"""Giving up rights, in the child, before it opens a model. Linux; every protection that is not to be had is named.

Order matters: namespaces need rights that are dropped next, Landlock and the filter come last and cannot be undone.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from coordinator.errors import CoordinatorError

_NOBODY = 65534
_PACKAGES = Path(__file__).parent.parent.parent
_MB = 1 << 20
_NEWNET, _NEWIPC, _NEWUSER = 0x40000000, 0x08000000, 0x10000000
_SET_PDEATHSIG, _SET_DUMPABLE, _SET_SECCOMP, _SET_NO_NEW_PRIVS = 1, 4, 22, 38
_FILTER_MODE = 2
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same on every architecture
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REFER, _TRUNCATE, _IOCTL = 1, 2, 4, 8, 1 << 13, 1 << 14, 1 << 15
_FILE_RIGHTS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}  # by the kernel's Landlock version; from 5 on with devices
_READING = _READ_FILE | _READ_DIR | _EXECUTE  # to map libraries as code is no execution of programs
_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/proc/self", "/proc/cpuinfo", "/proc/meminfo",
           "/proc/stat", "/proc/sys/vm", "/sys/devices/system/cpu", "/sys/devices/system/node", "/dev/urandom")  # fmt: skip

# Calls that no arithmetic needs. x86_64 and aarch64 numbers; on other machines there is no filter.
_CALLS = {
    "x86_64": (0xC000003E, (
        41, 42, 43, 44, 46, 49, 50, 53, 288,  # sockets
        62, 200, 234, 129, 297, 424,  # signals to others
        59, 322,  # other programs
        101, 310, 311, 438, 434,  # other processes' memory and files
        165, 166, 155, 161, 272, 308, 428, 429, 430, 431, 432, 442,  # mounts, roots, namespaces
        425, 426, 427, 321, 323, 298, 248, 249, 250, 175, 176, 313, 246, 320, 169, 227, 159, 305,  # kernel interfaces
    )),
    "aarch64": (0xC00000B7, (
        198, 203, 202, 206, 211, 200, 201, 199, 242,
        129, 130, 131, 138, 240, 424,
        221, 281,
        117, 270, 271, 438, 434,
        40, 39, 41, 51, 97, 268, 428, 429, 430, 431, 432, 442,
        425, 426, 427, 280, 282, 241, 217, 218, 219, 105, 106, 273, 104, 294, 142, 112, 171, 266,
    )),
}  # fmt: skip
_MAKING_PROCESSES = {"x86_64": (56, 57, 58, 435), "aarch64": (220, 435)}
_X32 = 0x40000000  # x86_64's other numbering of the same calls


@dataclass(frozen=True)
class Rights:
    """What a job may take.

    Attributes:
        memory_mb: of address space.
        cpu_s: of processor time.
        file_mb: size of one written file; 0: it writes none.
        threads: whether it may start threads.
    """

    memory_mb: int
    cpu_s: int
    file_mb: int = 0
    threads: bool = False


def confine(rights: Rights) -> dict[str, str]:
    """Give up everything else, for good. Call in a process of one thread, whose working folder is its own.

    Returns:
        protection -> ``on``, or why it is not.

    Raises:
        CoordinatorError: ``vetting.no_sandbox`` where the coordinator's files, its keys among them, would be readable.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    os.setsid()
    found = {"network": _leave_network(libc)}
    system = _open_system()  # before the rights to look there are gone
    _limit(rights)
    found["user"] = _become_nobody()
    found["capabilities"] = _drop_capabilities(libc)
    _prctl(libc, _SET_PDEATHSIG, signal.SIGKILL)
    _prctl(libc, _SET_DUMPABLE, 0)
    found["privileges"] = "on" if _prctl(libc, _SET_NO_NEW_PRIVS, 1) else _reason()
    found["files"] = _landlock(libc, system, writes=rights.file_mb > 0)
    found["calls"] = _filter_calls(libc, threads=rights.threads)
    found["limits"] = "on"
    if found["files"] != "on" and found["user"] != "on":
        raise CoordinatorError(
            "vetting.no_sandbox", problem="neither Landlock nor another user keeps models from its files"
        )
    os.environ.clear()
    return found


def _reason() -> str:
    return os.strerror(ctypes.get_errno()) or "not available"


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> bool:
    zero = ctypes.c_ulong(0)
    return int(libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero)) == 0


def _leave_network(libc: ctypes.CDLL) -> str:
    if not sys.platform.startswith("linux"):
        return "not available on this system"
    flags = _NEWNET | _NEWIPC | (0 if os.geteuid() == 0 else _NEWUSER)
    return "on" if libc.unshare(flags) == 0 else _reason()


def _become_nobody() -> str:
    """Root becomes nobody; anyone else stays, and is kept from files by Landlock alone.

    So is root where Python itself is installed in a private folder, out of which nobody could not load a module.
    """
    if os.geteuid() != 0:
        return "the coordinator's own"
    installed = Path(os.__file__)
    if not all(folder.stat().st_mode & 0o001 for folder in installed.parents):
        return "the coordinator's own: Python is installed in a private folder"
    os.setgroups([])
    os.setgid(_NOBODY)
    os.setuid(_NOBODY)
    return "on"


def _drop_capabilities(libc: ctypes.CDLL) -> str:
    """No capabilities, whoever this is: root's, or those that a user namespace gives."""
    if not hasattr(libc, "capset"):
        return "not available on this system"
    version_3 = 0x20080522
    return "on" if libc.capset(struct.pack("<Ii", version_3, 0), bytes(24)) == 0 else _reason()


def _limit(rights: Rights) -> None:
    file_bytes = rights.file_mb * _MB
    for name, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, rights.memory_mb * _MB),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, 256 if rights.threads else 64),
    ):
        resource.setrlimit(name, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (rights.cpu_s, rights.cpu_s + 5))  # SIGXCPU tells it from other ends
    if not rights.threads:  # counts all of the user's processes, so that with 0 there is no further one
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    with suppress(OSError):  # where memory runs out for all, this process is to go first
        Path("/proc/self/oom_score_adj").write_text("900", "ascii")


def _open_system() -> list[int]:
    """Descriptors of what Python and its libraries are read from; nothing of the coordinator's home is among it."""
    packages = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    ours = [
        str(_PACKAGES / name) for name in ("coordinator", "protocols")
    ]  # not what lies beside them: it may be a home
    paths = dict.fromkeys([*_SYSTEM, sys.prefix, sys.base_prefix, *packages, *ours])
    flags = getattr(os, "O_PATH", 0) | os.O_CLOEXEC
    return [os.open(path, flags) for path in paths if Path(path).exists()]


def _landlock(libc: ctypes.CDLL, system: list[int], *, writes: bool) -> str:
    """Only reading, and only of the program itself and the working folder; no TCP, no signals to others."""
    try:
        version = int(libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1))
        if version < 1:
            return _reason()
        rights = _FILE_RIGHTS.get(version, 0xFFFF)
        handled = struct.pack("<QQQ", rights, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
        size = 24 if version >= 6 else 16 if version >= 4 else 8
        rules = int(libc.syscall(_LANDLOCK_CREATE, handled[:size], ctypes.c_size_t(size), 0))
        if rules < 0:
            return _reason()
        own = os.open(".", getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
        everything = rights & ~(_EXECUTE | _REFER | _IOCTL)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        allowed = [(own, everything if writes else _READ_FILE | _READ_DIR), *((f, _READING) for f in system)]
        allowed.append((null, _READ_FILE | _WRITE_FILE))
        for descriptor, wanted in allowed:
            if not Path(f"/proc/self/fd/{descriptor}").is_dir():
                wanted &= _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE
            rule = struct.pack("<Qi", wanted & rights, descriptor)
            if libc.syscall(_LANDLOCK_ADD, rules, 1, rule, 0) != 0:
                return _reason()
        return "on" if libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0 else _reason()
    finally:
        for descriptor in system:
            os.close(descriptor)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _filter_calls(libc: ctypes.CDLL, *, threads: bool) -> str:
    """A seccomp filter: the listed calls fail with EPERM."""
    machine = os.uname().machine
    if machine not in _CALLS or not sys.platform.startswith("linux"):
        return f"no filter for {machine}"
    architecture, calls = _CALLS[machine]
    refused = list(calls) if threads else [*calls, *_MAKING_PROCESSES[machine]]
    code = _bpf(architecture, refused)
    program = _Program(len(code) // 8, code)
    done = libc.prctl(
        _SET_SECCOMP, ctypes.c_ulong(_FILTER_MODE), ctypes.byref(program), ctypes.c_ulong(0), ctypes.c_ulong(0)
    )
    return "on" if done == 0 else _reason()


def _bpf(architecture: int, refused: list[int]) -> bytes:
    """The filter's instructions: <code, jump if true, jump if false, value>; see linux/filter.h and seccomp(2)."""
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    kill, allow, denied = 0x80000000, 0x7FFF0000, 0x00050001  # EPERM
    steps = [(load, 0, 0, 4), (equal, 1, 0, architecture), (answer, 0, 0, kill), (load, 0, 0, 0)]
    steps.append((at_least, len(refused) + 1, 0, _X32))
    steps += [(equal, len(refused) - i, 0, number) for i, number in enumerate(refused)]
    steps += [(answer, 0, 0, allow), (answer, 0, 0, denied)]
    return b"".join(struct.pack("<HBBI", *step) for step in steps)

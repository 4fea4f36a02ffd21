"""Locks on open files and folders that end with the process that holds them.

They are those of ``flock``. Where there is none, as on Windows, nothing is locked and nobody can tell whether another
process is at work: what asks :data:`KNOWN` leaves the files of others alone there.
"""

from __future__ import annotations

try:
    import fcntl
except ImportError:
    fcntl = None

KNOWN = fcntl is not None
"""Whether this system has such locks."""


def lock(descriptor: int) -> bool:
    """Take the lock of an open file or folder without waiting.

    Returns:
        Whether it is ours now; False where another process has it, or the file system or the system knows none.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def wait_for_lock(descriptor: int) -> None:
    """Take the lock of an open file, however long another process holds it. Without locks nobody does.

    Raises:
        OSError: the file system refuses.
    """
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def locked_elsewhere(descriptor: int) -> bool:
    """Take the lock of an open file; True where another process holds it. Without locks nobody does.

    Raises:
        OSError: the file system refuses for another reason.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False

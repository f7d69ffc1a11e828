"""The memory and cores of this machine, and how many processes share them.

>>> memory_bytes() > 2**28, cores() > 0, workers() > 0
(True, True, True)
"""

import contextlib
import os
from pathlib import Path

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says how much of the machine's memory a container may use; "max", or a huge number, for all of it."""


def memory_bytes() -> int:
    """Memory that this process may use: that of the machine, or of the container it runs in."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in LIMITS:
        with contextlib.suppress(OSError, ValueError):
            found.append(int(Path(file).read_text()))
    return min(found)


def workers() -> int:
    """Processes of pytest-xdist that share this machine; 1 without it."""
    return int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

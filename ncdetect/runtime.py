"""What a process sets once for itself; called by the command line and the page, never on import."""

import ctypes
import sys

# Options of mallopt(3) in malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next tensor instead of returning it to the kernel.

    By default every large tensor is mapped, page-faulted and unmapped anew: on virtual machines the log-mel
    of a batch took ten times as long as its arithmetic. Memory in use stays the same; the peak is kept.

    Returns:
        Whether this system's allocator took the options.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, musl for one
        return False
    options = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 * 2**20))
    return all(mallopt(option, value) == 1 for option, value in options)

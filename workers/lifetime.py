"""Processes that must not outlive the one that started them, and how they tell it why they ended."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

UNUSABLE = 3
"""Exit code of a worker that cannot run here; starting it again would not help."""
AGAIN = 75
"""Exit code of a worker that ended to be rid of its job, and wants to be started again at once."""


def ends_with_parent(parent: int, with_signal: signal.Signals) -> bool:
    """Have the kernel send this process a signal when its parent ends, which could otherwise not tell it (Linux).

    Args:
        parent: process id of the parent, known from before.
        with_signal: what to send.

    Returns:
        False if the parent was gone already: the caller should end.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, with_signal)
    return os.getppid() == parent

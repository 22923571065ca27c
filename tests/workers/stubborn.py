"""A job that does not notice its time limit, as a long call into C does not."""

import signal
import time


def sleep_on(seconds: float) -> None:
    """Sleep for so long, with the alarm blocked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(seconds)

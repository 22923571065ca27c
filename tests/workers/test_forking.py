"""Memory of the process that a worker forks for a job."""

import platform
import subprocess
import sys

import pytest

MEASURED = """
import resource
import numpy as np
from simulation.devices import keep_freed_memory
keep_freed_memory()
def faults_of(run):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def arrays():
    for _ in range(8):
        first, second = np.ones((1000, 1000)), np.ones((1000, 500))
        first @ second
arrays()
print(faults_of(arrays))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_used_again():
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, check=True, text=True)
    assert int(done.stdout) < 100  # a megabyte has 256 pages

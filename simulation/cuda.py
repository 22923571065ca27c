"""A GPU by CuPy: choice of the device, memory pool, random streams, and solvers. All that is CuPy's own is in this file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import cupy
import cupyx
import cupyx.lapack
import numpy as np
from cupy_backends.cuda.libs import curand

from simulation.devices import Device, DeviceUnavailable, Precision, Streams
from simulation.linear_algebra import by_elimination

Value = TypeVar("Value")

SHARE_OF_FREE_MEMORY = 0.8
"""Of what is free when the device is opened; the rest is for cuBLAS, cuSOLVER and other processes."""


def open_device(index: int) -> Device:
    """Make a GPU the current device of this process.

    Raises:
        DeviceUnavailable: there is none of that number, or its driver does not answer.
    """
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceUnavailable(f"CUDA does not answer: {error}") from None
    if not 0 <= index < count:
        raise DeviceUnavailable(f"there is no GPU {index}; there are {count}, from 0 up")
    cupy.cuda.Device(index).use()
    pool = cupy.cuda.MemoryPool()
    cupy.cuda.set_allocator(pool.malloc)
    free, _ = cupy.cuda.runtime.memGetInfo()
    budget = int(SHARE_OF_FREE_MEMORY * free)
    pool.set_limit(size=budget)
    name = cupy.cuda.runtime.getDeviceProperties(index)["name"].decode()
    return CudaDevice(name=name, budget=budget, pool=pool)


@dataclass(frozen=True, kw_only=True)
class CudaDevice:
    """The current GPU.

    Attributes:
        name: of the GPU.
        budget: bytes that its pool may take; it refuses more with a MemoryError.
        pool: of its memory.
        precision: of the arrays.
        drawn: the precision in which random numbers are drawn; that of the arrays where it is not said.
    """

    name: str
    budget: int
    pool: Any = field(repr=False)
    precision: Precision = "float64"
    drawn: Precision | None = None
    backend: Literal["cupy"] = "cupy"

    def streams(self, seed: int, numbers: Sequence[int], *purpose: int) -> Streams:
        """Return streams that the GPU draws: others than NumPy's, and as independent of each other."""
        return CudaStreams(seed, numbers, purpose, self.drawn or self.precision, self.precision)

    def in_precision(self, precision: Precision, *, drawn: Precision | None = None) -> "CudaDevice":
        """Return the same GPU with arrays of another precision."""
        return replace(self, precision=precision, drawn=drawn)

    def peak(self, run: Callable[[], Value]) -> tuple[Value, int]:
        """Call a function and measure: an empty pool grows to what is needed at once."""
        self.release()
        value = run()
        return value, int(self.pool.total_bytes())

    def release(self) -> None:
        """Give back what the pool holds and nobody uses."""
        self.pool.free_all_blocks()


class CudaStreams:
    """Philox streams: every draw of a replicate has a seed of its own, and so does not depend on those beside it.

    Args:
        seed: of all replicates.
        numbers: of the replicates.
        purpose: of the draws.
        precision: in which they are drawn.
        held: the precision of the arrays.
    """

    def __init__(
        self, seed: int, numbers: Sequence[int], purpose: tuple[int, ...], precision: Precision, held: Precision
    ) -> None:
        self._seed, self._numbers, self._purpose = seed, numbers, purpose
        self._dtype, self._held = cupy.dtype(precision), cupy.dtype(held)
        self._generator = cupy.random.RandomState(0, method=curand.CURAND_RNG_PSEUDO_PHILOX4_32_10)
        self._draws = 0

    def standard_normal(self, shape: Any) -> Any:
        """Draw standard normal numbers."""
        return self._drawn(shape, self._generator.standard_normal)

    def random(self, shape: Any) -> Any:
        """Draw numbers uniform on [0, 1)."""
        return self._drawn(shape, self._generator.random_sample)

    def _drawn(self, shape: Any, draw: Callable[..., Any]) -> Any:
        size = tuple(int(length) for length in np.atleast_1d(shape))
        drawn = cupy.empty((len(self._numbers), *size), self._held)
        for place, number in enumerate(self._numbers):
            key = np.random.SeedSequence(self._seed, spawn_key=(number, *self._purpose, self._draws))
            self._generator.seed(int(key.generate_state(1, np.uint64)[0]))
            drawn[place] = draw(size, self._dtype)
        self._draws += 1
        return drawn


def solve_positive(matrix: Any, right_sides: Any) -> Any:
    """Solve symmetric positive definite systems by cuSOLVER; see :func:`simulation.linear_algebra.solve_positive`."""
    with cupyx.errstate(linalg="raise"):
        try:
            return cupyx.lapack.posv(matrix, right_sides)
        except np.linalg.LinAlgError:
            pass
    # Rare, and not worth a kernel: some are indefinite, and the host finds out which.
    matrices, sides = (cupy.asnumpy(array).reshape(-1, *array.shape[-2:]) for array in (matrix, right_sides))
    solved = [by_elimination(*system) for system in zip(matrices, sides, strict=True)]
    return cupy.asarray(np.reshape(solved, right_sides.shape))

"""Where replicates are drawn and trained: the array namespace, its random streams, its precision and its memory.

Everything that CuPy needs and NumPy does not is in :mod:`simulation.cuda`.
"""

import ctypes
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Literal, Protocol, TypeVar

import array_api_compat
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Value = TypeVar("Value")
Precision = Literal["float64", "float32"]

HOST_BUDGET = 4 * 2**20
"""Bytes of the replicates that are trained side by side on the host: more would fall out of its caches."""


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's ``mallopt``: the freed memory that it keeps at most, and the size from which it keeps none."""

KEPT_BYTES, LARGEST_KEPT_BYTES = 2**28, 2**25
"""Enough for the arrays of matrices of 2,000 x 2,000; larger ones are long enough at work."""


def keep_freed_memory() -> None:
    """Have this process use freed memory again, where its C library is glibc.

    Given back to the kernel by every replicate, and cleared page by page for the next one, the arrays of a thousand samples
    and features cost a fifth of the time. For processes that end with their work, and their memory with them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


class DeviceUnavailable(Exception):
    """A device cannot be used here; the message says why, and what would help."""


class Streams(Protocol):
    """The random streams of some replicates; whatever is drawn has a leading axis of them.

    A NumPy generator has these methods too, and draws for a single replicate, without that axis.
    """

    def standard_normal(self, shape: Any) -> Any:
        """Draw standard normal numbers, of this shape for each replicate."""

    def random(self, shape: Any) -> Any:
        """Draw numbers uniform on [0, 1), likewise."""


class Device(Protocol):
    """What replicates are drawn and trained on.

    Attributes:
        backend: "numpy" or "cupy".
        name: of the device, as "cpu" or "NVIDIA H100 80GB HBM3".
        budget: bytes that replicates trained side by side may take.
    """

    @property
    def backend(self) -> Literal["numpy", "cupy"]:
        """Library of the arrays."""

    @property
    def name(self) -> str:
        """What the device is called."""

    @property
    def budget(self) -> int:
        """Bytes for replicates side by side."""

    def streams(self, seed: int, numbers: Sequence[int], *purpose: int) -> Streams:
        """Return the streams of replicates, each keyed by the seed, its own number and the purpose alone."""

    def in_precision(self, precision: Precision, *, drawn: Precision | None = None) -> "Device":
        """Return the same device with arrays of another precision, and the numbers that would be drawn in a third."""

    def peak(self, run: Callable[[], Value]) -> tuple[Value, int]:
        """Call a function; return its value, and the most bytes of arrays that there were at once."""

    def release(self) -> None:
        """Give memory back that is held for later."""


def stream(seed: int, replicate: int, *purpose: int) -> np.random.Generator:
    """Return a replicate's own generator on the host; one for every purpose."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(replicate, *purpose))))


class HostStreams:
    """Streams that NumPy draws, whatever namespace the numbers are for.

    Args:
        generators: of the replicates.
        xp: namespace of the numbers.
        precision: in which they are drawn.
        held: the precision of the arrays.
    """

    def __init__(
        self, generators: Sequence[np.random.Generator], xp: Any, precision: Precision, held: Precision
    ) -> None:
        self._generators, self._xp = generators, xp
        self._dtype: Any = np.dtype(precision)
        self._held: Any = np.dtype(held)

    def standard_normal(self, shape: Any) -> Any:
        """Draw standard normal numbers."""
        return self._drawn(shape, np.random.Generator.standard_normal)

    def random(self, shape: Any) -> Any:
        """Draw numbers uniform on [0, 1)."""
        return self._drawn(shape, np.random.Generator.random)

    def _drawn(self, shape: Any, draw: Any) -> Any:
        drawn = np.empty((len(self._generators), *np.atleast_1d(shape)), self._dtype)
        for generator, part in zip(self._generators, drawn, strict=True):
            draw(generator, out=part, dtype=self._dtype)
        return self._xp.asarray(drawn.astype(self._held, copy=False))


@dataclass(frozen=True, kw_only=True)
class HostDevice:
    """The processor, with NumPy or another namespace that follows the array API standard.

    Attributes:
        namespace: of the arrays.
        precision: of the arrays.
        drawn: the precision in which random numbers are drawn; that of the arrays where it is not said.
        budget: bytes that replicates trained side by side may take.
    """

    namespace: Any = field(default=np, repr=False)
    precision: Precision = "float64"
    drawn: Precision | None = None
    budget: int = HOST_BUDGET
    backend: Literal["numpy"] = "numpy"
    name: str = "cpu"

    @property
    def xp(self) -> Any:
        """The namespace, with the standard's names also where a library spells some differently."""
        return array_api_compat.array_namespace(self.namespace.zeros(1))

    def streams(self, seed: int, numbers: Sequence[int], *purpose: int) -> Streams:
        """Return the streams of replicates; those of :func:`stream`."""
        generators = [stream(seed, number, *purpose) for number in numbers]
        return HostStreams(generators, self.xp, self.drawn or self.precision, self.precision)

    def in_precision(self, precision: Precision, *, drawn: Precision | None = None) -> "HostDevice":
        """Return the same device with arrays of another precision."""
        return replace(self, precision=precision, drawn=drawn)

    def peak(self, run: Callable[[], Value]) -> tuple[Value, int]:
        """Call a function and measure: NumPy reports its arrays to Python's own tracer."""
        if tracemalloc.is_tracing():  # by someone else, whose figures must stay as they are
            return run(), self.budget
        tracemalloc.start(1)
        try:
            value = run()
            return value, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def release(self) -> None:
        """Keep nothing."""


HOST = HostDevice()


def open_device(name: str) -> Device:
    """Open a device for this process.

    Args:
        name: "cpu", or "cuda:0" and so on.

    Raises:
        DeviceUnavailable: there is no such device, or nothing here that could use it.
    """
    if name == "cpu":
        return HOST
    kind, _, index = name.partition(":")
    if kind != "cuda" or not (index or "0").isdecimal():
        raise DeviceUnavailable(f"there is no device {name!r}; choose cpu, or cuda:0 for the first GPU")
    try:
        # Not by an import at the top: a process that forks must never load CUDA, and CuPy is optional.
        cuda: Any = import_module("simulation.cuda")
    except ImportError as error:
        raise DeviceUnavailable(
            f"CuPy cannot be loaded ({error}); install it with: pip install 'foretell[cuda13]' or 'foretell[cuda12]'"
        ) from None
    opened: Device = cuda.open_device(int(index or 0))
    return opened

"""Replicates side by side: as many at once as fit into the memory of the device, by what the first one was seen to take."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from simulation.devices import Device

Array = npt.NDArray[np.float64]
Run = Callable[[Sequence[int]], Mapping[str, Array]]


def in_batches(run: Run, *, first: int, count: int, device: Device) -> dict[str, Array]:
    """Run replicates ``first`` to ``first + count - 1`` in batches, and join what they measured.

    Args:
        run: takes the numbers of some replicates; returns arrays of which they are the first axis. What it says of one
            must not depend on the others.
        first: number of the first replicate.
        count: how many; with none, what is measured is not known, and the answer is empty.
        device: whose memory it takes.

    Raises:
        MemoryError: a single replicate is too much.
    """
    if count == 0:
        return {}
    alone, peak = device.peak(lambda: run([first]))
    pieces, done = [alone], 1
    together = max(device.budget // max(peak, 1), 1)
    while done < count:
        size = min(together, count - done)
        try:
            pieces.append(run(range(first + done, first + done + size)))
        except MemoryError:
            # A batch may need more than its share: sizes of blocks, and what else is on the device.
            if size == 1:
                raise
            device.release()
            together = size // 2
        else:
            done += size
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in alone}

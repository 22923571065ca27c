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

    Returns:
        NaN for a replicate on which a decomposition failed: what it drew has no finite answer.

    Raises:
        MemoryError: a single replicate is too much.
        LinAlgError: a decomposition failed on every replicate.
    """
    if count == 0:
        return {}
    failures: list[np.linalg.LinAlgError] = []

    def tried(numbers: Sequence[int]) -> list[Mapping[str, Array] | None]:
        try:
            return [run(numbers)]
        except np.linalg.LinAlgError as failure:
            if len(numbers) > 1:
                return [piece for number in numbers for piece in tried([number])]
            failures.append(failure)
            return [None]

    pieces, peak = device.peak(lambda: tried([first]))
    done, together = 1, max(device.budget // max(peak, 1), 1)
    while done < count:
        size = min(together, count - done)
        try:
            pieces += tried(range(first + done, first + done + size))
        except MemoryError:
            # A batch may need more than its share: sizes of blocks, and what else is on the device.
            if size == 1:
                raise
            device.release()
            together = size // 2
        else:
            done += size
    measured = next((piece for piece in pieces if piece is not None), None)
    if measured is None:
        raise failures[-1]
    nothing = {name: np.full((1, *values.shape[1:]), np.nan) for name, values in measured.items()}
    return {name: np.concatenate([(piece or nothing)[name] for piece in pieces]) for name in measured}

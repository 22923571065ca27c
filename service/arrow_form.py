"""A sweep as an Arrow stream: a column for each axis, for each number, and for the status."""

from typing import Any

import numpy as np
from pydantic_core import from_json

ARROW = "application/vnd.apache.arrow.stream"


def sweep_stream(answer: bytes) -> bytes:
    """Write a sweep in the Arrow IPC streaming format, one row a point, null where a number is null.

    Args:
        answer: in JSON.
    """
    import pyarrow  # noqa: PLC0415 - a tenth of a second and 60 MB, which a process without such a request need not take
    import pyarrow.ipc  # noqa: PLC0415

    sweep = from_json(answer)
    axes = sweep["axes"]
    mesh = np.meshgrid(*(np.array(axis["values"], float) for axis in axes), indexing="ij")
    columns: dict[str, Any] = {
        axis["path"]: pyarrow.array(values.ravel()) for axis, values in zip(axes, mesh, strict=True)
    }
    for name, values in sweep["columns"].items():
        # A null becomes NaN, which no column has by itself, and null again.
        columns[name] = pyarrow.array(np.array(values, float).ravel(), from_pandas=True)
    columns["status"] = pyarrow.array(np.array(sweep["status"], object).ravel(), pyarrow.string())
    table = pyarrow.table(columns)
    stream = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    written: bytes = stream.getvalue().to_pybytes()
    return written

"""A sweep as an Arrow stream: one record batch, a column for each axis, for each number, and for the status."""

import io
from typing import Any

import nanoarrow
import numpy as np
import numpy.typing as npt
from nanoarrow import ipc
from pydantic_core import from_json

ARROW = "application/vnd.apache.arrow.stream"


def sweep_stream(answer: bytes) -> bytes:
    """Write a sweep in the Arrow IPC streaming format, one row a point, null where a number is null.

    Args:
        answer: in JSON.
    """
    sweep = from_json(answer)
    axes = sweep["axes"]
    mesh = np.meshgrid(*(np.array(axis["values"], float) for axis in axes), indexing="ij")
    columns: dict[str, Any] = {axis["path"]: _numbers(values.ravel()) for axis, values in zip(axes, mesh, strict=True)}
    for name, values in sweep["columns"].items():
        # A null becomes NaN, which no column has by itself.
        columns[name] = _numbers(np.array(values, float).ravel())
    columns["status"] = _texts(np.array(sweep["status"], object).ravel())
    length = mesh[0].size
    schema = nanoarrow.struct({name: array.schema for name, array in columns.items()})
    table = nanoarrow.c_array_from_buffers(schema, length, buffers=[None], children=list(columns.values()))
    stream = io.BytesIO()
    with ipc.StreamWriter.from_writable(stream) as writer:
        writer.write_array(table, write_schema=True)
    return stream.getvalue()


def _numbers(values: npt.NDArray[np.float64]) -> Any:
    valid = ~np.isnan(values)
    bitmap = None if valid.all() else np.packbits(valid, bitorder="little")
    return nanoarrow.c_array_from_buffers(
        nanoarrow.float64(), values.size, buffers=[bitmap, np.ascontiguousarray(values)]
    )


def _texts(values: npt.NDArray[Any]) -> Any:
    texts = values.tolist()
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return nanoarrow.c_array_from_buffers(
        nanoarrow.string(), len(texts), buffers=[None, offsets, "".join(texts).encode()]
    )

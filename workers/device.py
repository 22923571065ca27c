"""The device that this process computes on: chosen once, when a worker starts."""

from importlib import import_module
from typing import Any, Protocol

import numpy as np


class Device(Protocol):
    """Where arrays live.

    Attributes:
        backend: "numpy" or "cupy".
        name: of the device, as "cpu" or "NVIDIA H100 80GB HBM3".
        xp: its array namespace.
    """

    backend: str
    name: str
    xp: Any


class DeviceUnavailable(Exception):
    """The device cannot be used here; the message says why."""


class _Host:
    backend = "numpy"
    name = "cpu"
    xp: Any = np


HOST: Device = _Host()
_chosen = HOST


def choose(name: str) -> Device:
    """Open the device that this process computes on from now on.

    Args:
        name: "cpu", or "cuda:0" and so on.

    Raises:
        DeviceUnavailable: there is no such device, or nothing here that could use it.
    """
    global _chosen  # noqa: PLW0603 - a process has one device
    _chosen = HOST if name == "cpu" else _opened(name)
    return _chosen


def chosen() -> Device:
    """Return the device that this process computes on."""
    return _chosen


def _opened(name: str) -> Device:
    # Not by an import at the top: the forking workers and the service must never load CUDA.
    try:
        devices = import_module("simulation.devices")
    except ImportError as error:
        raise DeviceUnavailable(f"CuPy is not there ({error})") from None
    try:
        opened: Device = devices.open_device(name)
    except devices.DeviceUnavailable as error:
        raise DeviceUnavailable(str(error)) from None
    return opened

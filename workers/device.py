"""The device that this process computes on: chosen once, when a worker starts."""

from simulation.devices import HOST, Device, open_device

_chosen: Device = HOST


def choose(name: str) -> Device:
    """Open the device that this process computes on from now on.

    Args:
        name: "cpu", or "cuda:0" and so on.

    Raises:
        simulation.devices.DeviceUnavailable: there is no such device, or nothing here that could use it.
    """
    global _chosen  # noqa: PLW0603 - a process has one device
    _chosen = open_device(name)
    return _chosen


def chosen() -> Device:
    """Return the device that this process computes on."""
    return _chosen

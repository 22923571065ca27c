"""A device whose arrays allow what the array API standard says and nothing else."""

import array_api_strict

from simulation.devices import HostDevice

STRICT = HostDevice(namespace=array_api_strict)

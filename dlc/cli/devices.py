"""`dlc devices`: the CPU and the CUDA devices of this machine, and what is missing for these."""

from __future__ import annotations

import argparse

from dlc.inspector.units import plural, size


def devices(options: argparse.Namespace) -> int:
    """A line for each device that programs are compiled for."""
    from dlc.compiler import instruction_set
    from dlc.runtime.cores import available_cores
    from dlc.runtime.cuda.devices import NoDevice
    from dlc.runtime.cuda.devices import devices as cuda_devices

    print(f"cpu   {instruction_set()}, {plural(available_cores(), 'core')}")
    try:
        for found in cuda_devices():
            print(f"cuda  {found.name}, {found.architecture}, {size(found.bytes)}")
    except NoDevice as reason:
        print(f"cuda  none: {reason}")
    return 0

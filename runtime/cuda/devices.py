"""Which CUDA devices this machine has, and what is missing where it has none."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from dlc.runtime.cuda.driver import DRIVER

INSTALL = "NVIDIA's driver (https://www.nvidia.com/drivers)"


@dataclass(frozen=True)
class Device:
    """A CUDA device as its driver describes it."""

    name: str
    architecture: str
    bytes: int


class NoDevice(Exception):
    """Why there is no CUDA device, and what would bring one."""


def devices() -> list[Device]:
    """All devices of the driver. Raises NoDevice where it is missing, fails or has none."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        raise NoDevice(f"there is no CUDA driver here ({DRIVER}); install {INSTALL}") from None
    _call(driver, "cuInit", 0)
    count = ctypes.c_int()
    _call(driver, "cuDeviceGetCount", ctypes.byref(count))
    if not count.value:
        raise NoDevice("the CUDA driver finds no device")
    return [_device(driver, number) for number in range(count.value)]


def missing() -> str:
    """One line: why a CUDA program does not run here; "" where it does."""
    try:
        devices()
    except NoDevice as reason:
        return f"device 'cuda': {reason}; load(device='emulate') runs its threads on the CPU"
    return ""


def _device(driver: ctypes.CDLL, number: int) -> Device:
    handle, name, size = ctypes.c_int(), ctypes.create_string_buffer(256), ctypes.c_size_t()
    _call(driver, "cuDeviceGet", ctypes.byref(handle), number)
    _call(driver, "cuDeviceGetName", name, 256, handle)
    _call(driver, "cuDeviceTotalMem_v2", ctypes.byref(size), handle)
    parts = [ctypes.c_int(), ctypes.c_int()]
    for attribute, part in zip((75, 76), parts, strict=True):  # compute capability: major, minor
        _call(driver, "cuDeviceGetAttribute", ctypes.byref(part), attribute, handle)
    return Device(name.value.decode(), f"sm_{parts[0].value}{parts[1].value}", size.value)


def _call(driver: ctypes.CDLL, function: str, *arguments: object) -> None:
    status = getattr(driver, function)(*arguments)
    if status:
        text = ctypes.c_char_p()
        driver.cuGetErrorString(status, ctypes.byref(text))
        why = text.value.decode() if text.value else f"error {status}"
        raise NoDevice(f"the CUDA driver fails in {function}: {why}")

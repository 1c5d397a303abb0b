"""Where CuPy defines its class `Device`."""

from cupy.cuda import Device

__all__ = ["Device"]

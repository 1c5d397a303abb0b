"""Networks: layers in order, trained, applied, saved and loaded."""

from nnx.network.network import Network, load

__all__ = ["Network", "load"]

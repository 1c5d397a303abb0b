"""Networks to and from other libraries: `nnx.interop.keras` for Keras 3.

Both need the other library only when one of their functions is called.
"""

from nnx.interop import keras

__all__ = ["keras"]

"""Exchange networks with other libraries: `nnx.interop.keras` for Keras 3, `nnx.interop.onnx` for ONNX files.

Each needs the other library only when one of its functions is called.
"""

from nnx.interop import keras, onnx

__all__ = ["keras", "onnx"]

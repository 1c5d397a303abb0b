"""The constants of an ONNX graph: initializers, `Constant` nodes, and weights in files beside the model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from nnx.errors import FileFormatError

HostArray = np.ndarray[Any, Any]


class Constants:
    """Arrays by name, made when they are asked for."""

    def __init__(self, onnx: Any, graph: Any, folder: Path) -> None:
        if graph.sparse_initializer:
            raise FileFormatError("it has sparse initializers: nnx reads dense ones")
        self._onnx = onnx
        self._folder = folder.resolve()
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
                self._tensors[node.output[0]] = self._of_node(node)
        self.size = sum(math.prod(tensor.dims) for tensor in self._tensors.values())
        self._check_files()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def holds(self, node: Any) -> bool:
        """Whether a node is one of the constants."""
        return node.op_type == "Constant" and node.output[0] in self._tensors

    def array(self, name: str, node: Any) -> HostArray | None:
        """The array of a name that a node takes; None where an optional input is left out."""
        if not name:
            return None
        if name not in self._tensors:
            raise FileFormatError(
                f"node {node.name or node.output[0]!r} ({node.op_type}) takes {name!r}, which is no constant"
            )
        tensor = self._tensors[name]
        if self._outside(tensor):
            self._onnx.external_data_helper.load_external_data_for_tensor(tensor, str(self._folder))
        result: HostArray = self._onnx.numpy_helper.to_array(tensor)
        return result

    def _of_node(self, node: Any) -> Any:
        attribute = node.attribute[0]
        if attribute.name == "value":
            return attribute.t
        if attribute.name in ("value_float", "value_floats"):
            value = np.array(self._onnx.helper.get_attribute_value(attribute), np.float32)
            return self._onnx.numpy_helper.from_array(value, node.output[0])
        raise FileFormatError(f"node {node.name or node.output[0]!r} (Constant): no array of numbers")

    def _outside(self, tensor: Any) -> bool:
        return bool(tensor.data_location == self._onnx.TensorProto.EXTERNAL)

    def _check_files(self) -> None:
        """See that weights outside the file lie in its folder, and that no file is used beyond its size."""
        used: dict[Path, int] = {}
        for name, tensor in self._tensors.items():
            if not self._outside(tensor):
                continue
            entries = {entry.key: entry.value for entry in tensor.external_data}
            file = (self._folder / entries.get("location", "")).resolve()
            if not file.is_relative_to(self._folder):
                raise FileFormatError(f"the values of {name!r} lie outside its folder, at {file}")
            if not file.is_file():
                raise FileFormatError(f"the file with the values of {name!r} is missing, {file}")
            offset = int(entries.get("offset", 0))
            size = (
                math.prod(tensor.dims) * self._onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
            )
            used[file] = used.get(file, 0) + size
            available = file.stat().st_size
            if offset < 0 or offset + size > available or used[file] > available:
                raise FileFormatError(f"{file} is too short for the values of {name!r}, {size:,} bytes")
            if int(entries.get("length", size)) != size:
                raise FileFormatError(f"the values of {name!r} do not have the length that its shape says")

"""Reads a PyTorch weights file of the old, non-zip format without PyTorch: FILE OUT.

Writes the 32-bit float tensors one after another into OUT, little-endian, row-major and in Keras'
layout, and prints their names and shapes as JSON, in that order. Integer tensors (counters) are left
out.

A pickle can call anything that it names. Here it can name four things, and what stands for them
only keeps what it is given, so that a crafted file can be refused but cannot act.
"""
import collections
import json
import math
import pickle
import struct
import sys

import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
MAX_DIMENSIONS = 8

Tensor = collections.namedtuple("Tensor", "storage offset shape strides requires_grad hooks")
Storage = collections.namedtuple("Storage", "key dtype length")


class InertUnpickler(pickle.Unpickler):
    """Makes tuples where PyTorch would make tensors, and refuses every other name."""

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return Tensor
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise ValueError(f"it names {module}.{name}, which no weights need")

    def persistent_load(self, saved):
        kind, dtype, key, _device, length, view = saved
        if kind != "storage" or view is not None or not isinstance(dtype, np.dtype):
            raise ValueError("it refers to something other than a storage")
        return Storage(str(key), dtype, length)


def view(name, tensor, stored):
    """A tensor as an array; its strides need not be those of row-major order."""
    _, offset, shape, strides, _, _ = tensor
    if len(shape) > MAX_DIMENSIONS or len(strides) != len(shape) or min(shape, default=1) < 1:
        raise ValueError(f"the shape of its tensor {name} makes no sense")
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides))
    if min(offset, *strides, 0) < 0 or last >= len(stored) or math.prod(shape) > len(stored):
        raise ValueError(f"its tensor {name} reaches beyond its storage")
    steps = [stride * stored.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(stored[offset:], shape, steps, writeable=False)


def read(file):
    """Float tensors by name, in the file's order."""
    load = lambda: InertUnpickler(file).load()
    if load() != MAGIC or load() != PROTOCOL or load().get("little_endian") is not True:
        raise ValueError("it is not a PyTorch file of the old format")
    tensors = load()
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    stored = {}
    for key in load():
        _, dtype, length = storages[key]
        if struct.unpack("<q", file.read(8)) != (length,):
            raise ValueError(f"a storage does not have the {length} values that it should")
        values = file.read(length * dtype.itemsize)
        if len(values) != length * dtype.itemsize:
            raise ValueError("it is cut off")
        stored[key] = np.frombuffer(values, dtype)
    if file.read(1):
        raise ValueError("something follows its last storage")
    return {
        name: view(name, tensor, stored[tensor.storage.key])
        for name, tensor in tensors.items()
        if tensor.storage.dtype == STORAGES["FloatStorage"]
    }


def as_in_keras(name, tensor):
    """Kernels as [h, w, in, out] instead of [out, in, h, w]; of a depthwise convolution as
    [h, w, channels, 1] instead of [channels, 1, h, w]."""
    if tensor.ndim != 4:
        return tensor
    return tensor.transpose((2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0))


def main(path, out):
    with open(path, "rb") as file:
        try:
            tensors = {name: as_in_keras(name, tensor) for name, tensor in read(file).items()}
        except Exception as error:
            sys.exit(f"{path} cannot be read: {error}")
    with open(out, "wb") as file:
        for values in tensors.values():
            file.write(values.tobytes())
    print(json.dumps([{"name": name, "shape": t.shape} for name, t in tensors.items()]))


main(*sys.argv[1:])

"""Reads a PyTorch weights file of the old, non-zip format without PyTorch: FILE OUT.

Writes the 32-bit float tensors one after another into OUT, row-major and little-endian, and prints
their names and shapes as JSON, in that order. Integer tensors (counters) are left out.

A pickle can call anything that it names. Here it can name four things, and what stands for them
only keeps what it is given, so that a crafted file can be refused but cannot act.
"""
import collections
import json
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


def is_whole(tensor):
    """Whether a tensor is all of its storage, in row-major order."""
    stride, strides = 1, []
    for extent in reversed(tensor.shape):
        strides.insert(0, stride)
        stride *= extent
    # The stride of an axis with one place says nothing.
    same = all(a == b for a, b, n in zip(tensor.strides, strides, tensor.shape) if n != 1)
    return same and tensor.offset == 0 and stride == tensor.storage.length


def read(file):
    """Float tensors by name, in the file's order."""
    load = lambda: InertUnpickler(file).load()
    if load() != MAGIC or load() != PROTOCOL or load().get("little_endian") is not True:
        raise ValueError("it is not a PyTorch file of the old format")
    tensors = load()
    stored = {}
    dtypes = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    for key in load():
        _, dtype, length = dtypes[key]
        if struct.unpack("<q", file.read(8)) != (length,):
            raise ValueError(f"a storage does not have the {length} values that it should")
        stored[key] = file.read(length * dtype.itemsize)
        if len(stored[key]) != length * dtype.itemsize:
            raise ValueError("it is cut off")
    if file.read(1):
        raise ValueError("something follows its last storage")
    floats = {name: t for name, t in tensors.items() if t.storage.dtype == STORAGES["FloatStorage"]}
    for name, tensor in floats.items():
        if len(tensor.shape) > MAX_DIMENSIONS or not is_whole(tensor):
            raise ValueError(f"its tensor {name} is only a part of a storage")
    return {name: (tensor.shape, stored[tensor.storage.key]) for name, tensor in floats.items()}


def main(path, out):
    with open(path, "rb") as file:
        try:
            tensors = read(file)
        except Exception as error:
            sys.exit(f"{path} cannot be read: {error}")
    with open(out, "wb") as file:
        for _, values in tensors.values():
            file.write(values)
    print(json.dumps([{"name": name, "shape": shape} for name, (shape, _) in tensors.items()]))


main(*sys.argv[1:])

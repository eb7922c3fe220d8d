"""Reads a PyTorch weights file of the old, non-zip format without PyTorch: FILE OUT NAME...

Writes the named 32-bit float tensors one after another into OUT: little-endian, row-major and in
Keras' layout. Prints their shapes as JSON.

A pickle can call anything that it names. Here it can name four things, and what stands for them
only keeps what it is given. The caller has compared the file's hash with the published one, so
nothing else in it is checked.
"""
import collections
import json
import pickle
import sys

import numpy as np

Tensor = collections.namedtuple("Tensor", "storage offset shape strides requires_grad hooks")
Storage = collections.namedtuple("Storage", "kind dtype key device length view")
ALLOWED = {
    "collections.OrderedDict": collections.OrderedDict,
    "torch._utils._rebuild_tensor_v2": Tensor,
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.LongStorage": np.dtype("<i8"),
}


class InertUnpickler(pickle.Unpickler):
    """Makes tuples where PyTorch would make tensors, and refuses every other name."""

    def find_class(self, module, name):
        if f"{module}.{name}" not in ALLOWED:
            raise ValueError(f"it names {module}.{name}, which no weights need")
        return ALLOWED[f"{module}.{name}"]

    def persistent_load(self, saved):
        return Storage(*saved)


def read(file):
    """The file's tensors by name, as arrays."""
    load = lambda: InertUnpickler(file).load()
    _magic, _protocol, _system = load(), load(), load()
    tensors = load()
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    stored = {}
    for key in load():
        file.read(8)  # the number of values that follow
        stored[key] = np.fromfile(file, storages[key].dtype, storages[key].length)
    return {name: as_array(t, stored[t.storage.key]) for name, t in tensors.items()}


def as_array(tensor, stored):
    """Strides need not be those of row-major order; numpy refuses those that leave the storage."""
    size = stored.itemsize
    strides = [stride * size for stride in tensor.strides]
    return np.ndarray(tensor.shape, stored.dtype, stored, tensor.offset * size, strides)


def as_in_keras(name, tensor):
    """Kernels as [h, w, in, out] instead of [out, in, h, w]; of a depthwise convolution as
    [h, w, channels, 1] instead of [channels, 1, h, w]."""
    if tensor.ndim != 4:
        return tensor
    return tensor.transpose((2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0))


def main(path, out, *names):
    with open(path, "rb") as file:
        stored = read(file)
    tensors = [as_in_keras(name, stored[name]) for name in names]
    with open(out, "wb") as file:
        for tensor in tensors:
            file.write(tensor.tobytes())
    print(json.dumps([tensor.shape for tensor in tensors]))


main(*sys.argv[1:])

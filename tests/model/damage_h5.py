"""Changes one dataset of an HDF5 file in place: reads one JSON request on stdin, answers null."""
import json
import sys

import h5py
import numpy as np

request = json.load(sys.stdin)
with h5py.File(request["path"], "a") as file:
    name = request["dataset"]
    old = file[name][()]
    del file[name]
    if request["how"] == "misshapen":
        file[name] = old[..., :-1]
    elif request["how"] == "double":
        file[name] = old.astype("float64")
    elif request["how"] == "nan":
        old.flat[0] = np.nan
        file[name] = old
json.dump(None, sys.stdout)

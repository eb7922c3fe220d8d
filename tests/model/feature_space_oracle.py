"""Principal components and distances by numpy: JSON in, JSON out."""

import json
import sys

import numpy as np

request = json.load(sys.stdin)
rows = np.array(request["features"], dtype=float)
others = np.array(request["others"], dtype=float)
k = request["count"]

unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
mean = unit.mean(axis=0)
_, singular, directions = np.linalg.svd(unit - mean, full_matrices=False)
variances = singular**2 / len(rows)


def distance(features):
    centred = features / np.linalg.norm(features, axis=1, keepdims=True) - mean
    along = centred @ directions[:k].T
    rest = (centred**2).sum(axis=1) - (along**2).sum(axis=1)
    within = (along**2 / variances[:k]).mean(axis=1)
    return np.sqrt((within + rest / variances[k:].sum()) / 2)


json.dump(
    {
        "variances": variances[:k].tolist(),
        "own": distance(rows).tolist(),
        "others": distance(others).tolist(),
    },
    sys.stdout,
)

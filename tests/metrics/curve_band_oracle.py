"""Bands of ROC and precision-recall curves straight from their definition, with numpy."""

import json
import sys

import numpy as np

STEPS = np.arange(101)


def points(labels, probabilities):
    """Images called positive, and those of them that are, at every threshold from the highest on."""
    thresholds = np.append(np.inf, np.unique(probabilities)[::-1])
    called = probabilities[None, :] >= thresholds[:, None]
    return (called & (labels == 0)).sum(1), (called & (labels == 1)).sum(1)


def roc_heights(labels, probabilities):
    fp, tp = points(labels, probabilities)
    x = STEPS * fp[-1] / 100
    last = np.searchsorted(fp, x, side="right") - 1  # the last point that is not right of x
    following = np.minimum(last + 1, len(fp) - 1)
    width = np.maximum(fp[following] - fp[last], 1)
    return (tp[last] + (x - fp[last]) / width * (tp[following] - tp[last])) / tp[-1]


def precision_heights(labels, probabilities):
    fp, tp = points(labels, probabilities)
    wanted = np.maximum(STEPS * tp[-1] / 100, 1e-9)
    first = np.array([np.argmax(tp >= least) for least in wanted])
    return tp[first] / (tp[first] + fp[first])


def band(case, heights_of, needed):
    labels, probabilities = np.array(case["labels"]), np.array(case["probabilities"])
    drawn = []
    for weights in case["weights"]:
        images = np.repeat(np.arange(len(labels)), weights)
        if needed <= set(labels[images]):
            drawn.append(heights_of(labels[images], probabilities[images]))
    return np.percentile(drawn, [2.5, 97.5], axis=0).tolist()


json.dump(
    [
        {
            "roc": band(case, roc_heights, {0, 1}),
            "precisionRecall": band(case, precision_heights, {1}),
        }
        for case in json.load(sys.stdin)
    ],
    sys.stdout,
)

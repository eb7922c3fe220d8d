"""Answers for the tests of calibration, threshold and accepted band, by scikit-learn and scipy."""

import json
import os
import sys
import warnings

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # on small arrays threads only wait for each other

import numpy as np
from scipy import optimize, stats
from sklearn import metrics
from sklearn.calibration import _SigmoidCalibration

warnings.filterwarnings("ignore")


def logs(rows):
    return np.log(np.maximum(np.array(rows), 1e-12))


def smoothed(labels, classes):
    """Platt's targets: section 2.2 of his paper, for any number of classes."""
    n = np.bincount(labels, minlength=classes)[labels][:, None]
    return (np.eye(classes)[labels] * n + 1) / (n + classes)


def fit(case, method):
    """Slope, intercept and loss by BFGS, and by scikit-learn where it has the method."""
    x, targets = logs(case["rows"]), smoothed(np.array(case["labels"]), len(case["rows"][0]))

    def loss(v):
        z = v[0] * x
        if method == "platt":
            z[:, -1] += v[1]
        log_q = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
        rest = np.exp(log_q) - targets
        gradient = [(rest * x).sum(axis=1).mean()]
        if method == "platt":
            gradient.append(rest[:, -1].mean())
        return -(targets * log_q).sum(axis=1).mean(), np.array(gradient)

    start = [0.5, 0.0] if method == "platt" else [0.5]
    found = optimize.minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    sklearn = None
    if method == "platt" and x.shape[1] == 2:
        own = _SigmoidCalibration().fit(x[:, 1] - x[:, 0], np.array(case["labels"]))
        sklearn = [-own.a_, -own.b_]
    return {
        "slope": found.x[0],
        "intercept": found.x[1] if method == "platt" else 0.0,
        "loss": found.fun,
        "sklearn": sklearn,
    }


def thresholds(case):
    """The best that any threshold can reach, by the points of scikit-learn's ROC curve."""
    y, p = np.array(case["labels"]), np.array(case["probabilities"])
    fpr, tpr, _ = metrics.roc_curve(y, p, drop_intermediate=False)
    positives, negatives = y.sum(), (1 - y).sum()
    fp, fn = fpr * negatives, (1 - tpr) * positives
    enough = tpr >= case["sensitivity"] - 1e-12
    fewest = fp[enough].min()
    return {
        "youden": (tpr - fpr).max(),
        "falsePositives": round(fewest),
        "truePositives": round((tpr[enough & (fp <= fewest + 1e-9)] * positives).max()),
        "costs": (case["falseNegativeCost"] * fn + case["falsePositiveCost"] * fp).min(),
    }


def limits(case):
    """How many errors in n images still have an exact 95 % upper bound within the rate."""
    found = []
    for n in range(1, case["most"] + 1):
        k = -1
        while k + 1 < n and stats.beta.ppf(0.95, k + 2, n - k - 1) <= case["rate"]:
            k += 1
        found.append(k)
    return found


def chance(case):
    """P(sum of weight × exponential > 0), exactly: of a weight above 0 and one below it the larger
    part outlives the other, in the ratio of the weights, and is then as good as new."""
    weights = [wrong / accepted - case["rate"] for accepted, wrong in case["patients"]]
    above = [w for w in weights + [1 - case["rate"]] if w > 0]
    alive = np.ones(len(above))  # chance to win, from this one above on, and the last one below
    for below in [-w for w in weights if w < 0]:
        lost = 0.0
        for i in reversed(range(len(above))):
            share = above[i] / (above[i] + below)
            lost = alive[i] = share * alive[i] + (1 - share) * lost
    return alive[0]


request = json.load(sys.stdin)
json.dump(
    {
        "fits": [{m: fit(case, m) for m in ("temperature", "platt")} for case in request["fits"]],
        "thresholds": [thresholds(case) for case in request["thresholds"]],
        "chances": [chance(case) for case in request["chances"]],
        "limits": [limits(case) for case in request["limits"]],
    },
    sys.stdout,
)

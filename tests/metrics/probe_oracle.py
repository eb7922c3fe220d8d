"""Linear probes by scikit-learn, for the tests: weights, intercept and log odds of each case."""

import json
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def answer(case):
    x = np.array(case["features"])
    solver = LogisticRegression(C=1 / case["l2"], tol=1e-10, max_iter=100_000)
    model = make_pipeline(StandardScaler(), solver).fit(x, case["labels"])
    return {
        "weights": solver.coef_[0].tolist(),
        "intercept": solver.intercept_[0],
        "logOdds": model.decision_function(x).tolist(),
    }


json.dump([answer(case) for case in json.load(sys.stdin)], sys.stdout)

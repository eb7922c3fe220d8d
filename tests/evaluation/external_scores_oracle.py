"""Percentile intervals of differences of independent samples, by scipy and numpy."""

import json
import sys

import numpy as np
from scipy import stats
from sklearn import metrics

def roc_auc(y, p, c):
    """The share of pairs in order, by ranks: as scikit-learn's, and fast enough to resample."""
    positives = y.sum()
    pairs = positives * (len(y) - positives)
    ranks = stats.rankdata(p)[y == 1].sum() - positives * (positives + 1) / 2
    return ranks / pairs if pairs else np.nan


def mcc(y, p, c):
    both = np.corrcoef(y, c) if len(set(c)) == 2 and len(set(y)) == 2 else None
    return np.nan if both is None else both[0, 1]


SCORES = {
    "accuracy": lambda y, p, c: (y == c).mean(),
    "mcc": mcc,
    "roc_auc": roc_auc,
    "brier": lambda y, p, c: -((p - y) ** 2).mean(),
}


def arrays(sample):
    return [np.array(sample[k]) for k in ("labels", "probabilities", "predicted")]


def scores(sample, rows):
    return np.array([score(*(a[rows] for a in sample)) for score in SCORES.values()])


request = json.load(sys.stdin)
answers = []
for case in request:
    before, after = arrays(case["internal"]), arrays(case["external"])
    assert np.isclose(roc_auc(*before), metrics.roc_auc_score(before[0], before[1]))
    drop = scores(before, slice(None)) - scores(after, slice(None))
    if case["grouped"]:
        rng = np.random.default_rng(1)
        members = [
            [np.flatnonzero(np.array(s["groups"]) == g) for g in sorted(set(s["groups"]))]
            for s in (case["internal"], case["external"])
        ]
        drawn = []
        for _ in range(3000):
            rows = [
                np.concatenate([m[i] for i in rng.integers(0, len(m), len(m))]) for m in members
            ]
            drawn.append(scores(before, rows[0]) - scores(after, rows[1]))
        low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
    else:
        low, high = stats.bootstrap(
            (np.arange(len(before[0])), np.arange(len(after[0]))),
            lambda a, b: scores(before, a) - scores(after, b),
            vectorized=False,
            method="percentile",
            n_resamples=3000,
            rng=np.random.default_rng(1),
        ).confidence_interval
    answers.append(
        {name: [drop[i], low[i], high[i]] for i, name in enumerate(SCORES)}
    )
json.dump(answers, sys.stdout)

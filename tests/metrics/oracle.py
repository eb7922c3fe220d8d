"""Answers for the metrics tests, by scikit-learn and scipy: JSON cases in, JSON answers out."""

import json
import os
import sys
import warnings
from functools import cache

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # on small arrays threads only wait for each other

import numpy as np
from scipy import stats
from sklearn import metrics

warnings.filterwarnings("ignore")
BOTH = [0, 1]


def number(value):
    """NaN as null, infinity as a string: JSON has neither."""
    value = float(value)
    return None if np.isnan(value) else "Infinity" if np.isinf(value) else value


def expected_calibration_error(y, p):
    edges = np.linspace(0, 1, 11)
    which = np.searchsorted(edges[1:-1], p)
    gap = 0.0
    for b in range(10):
        if (which == b).any():
            gap += (which == b).mean() * abs(p[which == b].mean() - y[which == b].mean())
    return gap


def scores(case, names=None):
    """The named scores of one case; all of them when none is named."""
    y, p, c = (np.array(case[k]) for k in ("labels", "probabilities", "predicted"))
    p = p.astype(float)
    nan = float("nan")
    both = len(set(y)) == 2
    kwargs = dict(labels=BOTH, zero_division=nan, average=None)
    sides = cache(lambda: metrics.precision_recall_fscore_support(y, c, **kwargs))
    roc_auc = cache(lambda: metrics.roc_auc_score(y, p) if both else nan)
    average_precision = cache(lambda: metrics.average_precision_score(y, p) if y.any() else nan)
    rest_ap = lambda: metrics.average_precision_score(1 - y, -p) if both else nan
    found = {
        "accuracy": lambda: metrics.accuracy_score(y, c),
        "balanced_accuracy": lambda: metrics.balanced_accuracy_score(y, c) if both else nan,
        "sensitivity": lambda: sides()[1][1],
        "specificity": lambda: sides()[1][0],
        "precision": lambda: sides()[0][1],
        "f1": lambda: sides()[2][1],
        "mcc": lambda: metrics.matthews_corrcoef(y, c) if both and len(set(c)) == 2 else nan,
        "kappa": lambda: metrics.cohen_kappa_score(y, c, labels=BOTH),
        "roc_auc": roc_auc,
        "average_precision": average_precision,
        "brier": lambda: metrics.brier_score_loss(y, p, labels=BOTH),
        "log_loss": lambda: metrics.log_loss(y, p, labels=BOTH),
        "ece": lambda: expected_calibration_error(y, p),
        "macro_precision": lambda: sides()[0].mean(),
        "macro_f1": lambda: sides()[2].mean(),
        "macro_average_precision": lambda: (average_precision() + rest_ap()) / 2,
    }
    return {name: found[name]() for name in names or found}


def curves(case):
    y, p = np.array(case["labels"]), np.array(case["probabilities"], dtype=float)
    roc = pr = None
    if len(set(y)) == 2:
        roc = [[number(v) for v in part] for part in metrics.roc_curve(y, p)]
    if y.any():
        pr = [[number(v) for v in part] for part in metrics.precision_recall_curve(y, p)]
    return {"roc": roc, "pr": pr}


def answer(case):
    y, c = np.array(case["labels"]), np.array(case["predicted"])
    majority = int(2 * y.sum() > len(y))
    baseline = {
        "labels": case["labels"],
        "predicted": [majority] * len(y),
        "probabilities": [y.mean()] * len(y),
    }
    model_only = int(((c == y) & (y != majority)).sum())
    baseline_only = int(((c != y) & (y == majority)).sum())
    discordant = model_only + baseline_only
    test = stats.binomtest(model_only, discordant, 0.5, "greater") if discordant else None
    lead = (c == y).astype(int) - (y == majority)
    by_group = [lead[np.array(case["groups"]) == g].sum() for g in sorted(set(case["groups"]))]
    wilson = stats.binomtest(int((c == y).sum()), len(y)).proportion_ci(method="wilson")
    return {
        "scores": {name: number(value) for name, value in scores(case).items()},
        "baseline": {name: number(value) for name, value in scores(baseline).items()},
        "mcnemar": test.pvalue if test else 1.0,
        "flips": flip_test(by_group, "greater"),
        "wilson": [wilson.low, wilson.high],
        **curves(case),
    }


def confusions(case):
    classes = list(range(case["classes"]))
    return metrics.confusion_matrix(case["labels"], case["predicted"], labels=classes).tolist()


def intervals(case):
    """Percentile intervals of scores over resamples of images (scipy) or of groups (numpy)."""
    y, p, c = (np.array(case[k]) for k in ("labels", "probabilities", "predicted"))

    def values(rows):
        part = {k: np.array(case[k])[rows] for k in ("labels", "probabilities", "predicted")}
        found = scores(part, case["names"])
        return np.array([found[name] for name in case["names"]])

    if case["groups"] is None:
        result = stats.bootstrap(
            (np.arange(len(y)),), values, vectorized=False, method="percentile",
            n_resamples=case["resamples"], rng=np.random.default_rng(1),
        )
        low, high = result.confidence_interval
    else:
        members = [np.flatnonzero(np.array(case["groups"]) == g) for g in sorted(set(case["groups"]))]
        rng = np.random.default_rng(1)
        drawn = [
            values(np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))]))
            for _ in range(case["resamples"])
        ]
        low, high = np.nanpercentile(drawn, [2.5, 97.5], axis=0)
    return {name: [number(a), number(b)] for name, a, b in zip(case["names"], low, high)}


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
    """A band of a curve straight from its definition."""
    labels, probabilities = np.array(case["labels"]), np.array(case["probabilities"])
    drawn = []
    for weights in case["weights"]:
        images = np.repeat(np.arange(len(labels)), weights)
        if needed <= set(labels[images]):
            drawn.append(heights_of(labels[images], probabilities[images]))
    return np.percentile(drawn, [2.5, 97.5], axis=0).tolist()


def correlations(case):
    a, b = case
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return {"pearson": None, "spearman": None}
    return {"pearson": stats.pearsonr(a, b).statistic, "spearman": stats.spearmanr(a, b).statistic}


def bands(case):
    return {
        "roc": band(case, roc_heights, {0, 1}),
        "precisionRecall": band(case, precision_heights, {1}),
    }


def flip_test(leads, alternative):
    """Exact sign-flip test of leads by group."""
    if not any(leads):
        return 1.0
    return stats.permutation_test(
        (np.array([*leads, 0], dtype=float),), np.sum,  # scipy refuses one group alone
        permutation_type="samples", alternative=alternative, n_resamples=np.inf,
    ).pvalue


def compared(case):
    """Two runs on the same images: differences, and two-sided p of each test."""
    y, groups, folds = (np.array(case[k]) for k in ("labels", "groups", "folds"))
    (p, c), (q, d) = ((np.array(run["probabilities"]), np.array(run["predicted"])) for run in case["runs"])
    lead = (d == y).astype(int) - (c == y)

    def differences(at):
        auc = metrics.roc_auc_score(y[at], q[at]) - metrics.roc_auc_score(y[at], p[at])
        return [auc, lead[at].mean()]

    by_fold = np.array([differences(folds == name) for name in sorted(set(folds))])
    k, trained = len(by_fold), len(set(folds)) - 2
    error = np.sqrt((1 / k + 1 / trained) * by_fold.var(axis=0, ddof=1))
    won, lost = int((lead > 0).sum()), int((lead < 0).sum())
    return {
        "differences": differences(y >= 0),
        "flips": flip_test([lead[groups == g].sum() for g in sorted(set(groups))], "two-sided"),
        "mcnemar": stats.binomtest(won, won + lost).pvalue if won + lost else 1.0,
        "corrected": (2 * stats.t.sf(abs(by_fold.mean(axis=0)) / error, k - 1)).tolist(),
    }


request = json.load(sys.stdin)
json.dump(
    {
        "cases": [answer(case) for case in request.get("cases", [])],
        "confusions": [confusions(case) for case in request.get("confusions", [])],
        "intervals": [intervals(case) for case in request.get("intervals", [])],
        "bands": [bands(case) for case in request.get("bands", [])],
        "compared": [compared(case) for case in request.get("compared", [])],
        "correlations": [correlations(case) for case in request.get("correlations", [])],
    },
    sys.stdout,
)

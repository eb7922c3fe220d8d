"""scipy's correlations of pairs of lists; null where one of the two is constant."""
import json
import sys

import numpy as np
from scipy import stats


def answer(a, b):
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return {"pearson": None, "spearman": None}
    pearson, spearman = stats.pearsonr(a, b), stats.spearmanr(a, b)
    return {"pearson": float(pearson.statistic), "spearman": float(spearman.statistic)}


json.dump([answer(a, b) for a, b in json.load(sys.stdin)], sys.stdout)

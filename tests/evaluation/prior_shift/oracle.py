"""Answers for the tests of class shares, by numpy and scipy: JSON in, JSON out."""

import json
import sys

import numpy as np
from scipy import optimize, stats


def shares(case):
    """Saerens' EM as the paper has it, and the maximum of the same likelihood by an optimiser."""
    p, prior = np.array(case["rows"]), np.array(case["reference"])
    new = prior.copy()
    for _ in range(3000):
        posterior = p * (new / prior)
        posterior /= posterior.sum(axis=1, keepdims=True)
        new = posterior.mean(axis=0)

    def likelihood(shares):
        return np.log((p * (shares / prior)).sum(axis=1)).sum()

    def loss(free):
        odds = np.exp(np.append(free, 0))
        return -likelihood(odds / odds.sum())

    best = optimize.minimize(loss, np.zeros(len(prior) - 1), method="BFGS", tol=1e-12)
    odds = np.exp(np.append(best.x, 0))
    statistic = 2 * (likelihood(new) - likelihood(prior))
    return {
        "em": new.tolist(),
        "maximum": (odds / odds.sum()).tolist(),
        "statistic": statistic,
        "p": stats.chi2.sf(statistic, len(prior) - 1),
    }


request = json.load(sys.stdin)
json.dump(
    {
        "shares": [shares(case) for case in request["shares"]],
        "tails": [stats.chi2.sf(x, f) for x, f in request["tails"]],
        "wilson": [
            [interval.low, interval.high]
            for k, n in request["counts"]
            for interval in [stats.binomtest(k, n).proportion_ci(method="wilson")]
        ],
        "rates": [stats.beta(k + 0.5, m + 0.5).ppf([0.05, 0.5, 0.95]).tolist()
                  for k, m in request["rates"]],
        "t": [stats.t.ppf(0.975, f) for f in request["freedom"]],
    },
    sys.stdout,
)

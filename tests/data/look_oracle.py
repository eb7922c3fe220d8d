"""The audit's measures with numpy and scipy, from an RGB image as nested lists [height, width, 3]."""
import json
import sys

import numpy as np
from scipy.ndimage import uniform_filter1d


def blur(luma, axis):
    """Blur effect of Crete et al. (2007) along one axis, away from the border's influence."""
    luma = np.moveaxis(luma, axis, -1)
    again = uniform_filter1d(luma, 9, axis=-1)
    inner = slice(4, -4)
    before = np.abs(np.diff(luma, axis=-1))[:, inner]
    after = np.abs(np.diff(again, axis=-1))[:, inner]
    lost = np.maximum(0, before - after).sum()
    return (before.sum() - lost) / before.sum()


def measure(rgb):
    rgb = np.array(rgb, dtype=float)
    luma = rgb @ [0.299, 0.587, 0.114]
    grey = np.round(luma)
    colour = rgb.max(axis=2) - rgb.min(axis=2)
    return {
        "dark": float(np.quantile(grey, 0.05, method="inverted_cdf")),
        "bright": float(np.quantile(grey, 0.95, method="inverted_cdf")),
        "contrast": float(luma.std()),
        "blur": max(blur(luma, 0), blur(luma, 1)),
        "colour": float(np.quantile(colour, 0.99, method="inverted_cdf")),
    }


json.dump([measure(rgb) for rgb in json.load(sys.stdin)], sys.stdout)

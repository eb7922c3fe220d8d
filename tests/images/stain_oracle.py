"""Stain normalisation with numpy, from the papers of Macenko (2009) and Reinhard (2001).

Request: {"images": [[...] 8-bit RGB values], "stains": [[3], [3]], "amounts": [2], "mean": [3],
"deviation": [3]}. Answer, for each image: its stains, amounts, mean and deviation, and its values
after normalisation by either method.
"""

import json
import sys

import numpy as np

BETA = 0.15
LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
LAB = np.diag(1 / np.sqrt([3, 6, 2])) @ np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]])


def frame(stains):
    third = np.cross(stains[0], stains[1])
    return np.array([stains[0], stains[1], third / np.linalg.norm(third)])


def macenko(image):
    density = -np.log((image + 1) / 256)
    tissue = density[(density >= BETA).all(axis=1)]
    _, vectors = np.linalg.eigh(np.cov(tissue, rowvar=False, bias=True))
    main, second = vectors[:, 2], vectors[:, 1]
    main = main if main.sum() > 0 else -main
    angles = np.arctan2(tissue @ second, tissue @ main)
    ends = [np.cos(a) * main + np.sin(a) * second for a in np.percentile(angles, [1, 99])]
    stains = np.array(sorted(ends, key=lambda v: -v[0]))
    amounts = np.percentile(tissue @ np.linalg.inv(frame(stains)), 99, axis=0)[:2]
    return density, stains, amounts


def reinhard(image):
    density = -np.log((image + 1) / 256)
    way = np.clip((density.mean(axis=1) / BETA - 0.3) / 0.7, 0, 1)
    weight = 3 * way**2 - 2 * way**3
    lab = np.log10((image + 1) / 256 @ LMS.T) @ LAB.T
    return weight, lab, lab[weight == 1].mean(axis=0), lab[weight == 1].std(axis=0)


request = json.load(sys.stdin)
answers = []
for values in request["images"]:
    image = np.array(values, float).reshape(-1, 3)
    density, stains, amounts = macenko(image)
    scale = np.append(np.array(request["amounts"]) / amounts, 1)
    own = density @ np.linalg.inv(frame(stains)) * scale @ frame(np.array(request["stains"]))
    after_macenko = np.clip(256 * np.exp(-own) - 1, 0, 255)
    weight, lab, mean, deviation = reinhard(image)
    moved = (lab - mean) / deviation * request["deviation"] + request["mean"]
    rgb = 256 * 10 ** (moved @ np.linalg.inv(LAB).T) @ np.linalg.inv(LMS).T - 1
    after_reinhard = np.clip(weight[:, None] * rgb + (1 - weight[:, None]) * image, 0, 255)
    answers.append({
        "stains": stains.tolist(), "amounts": amounts.tolist(),
        "mean": mean.tolist(), "deviation": deviation.tolist(),
        "macenko": after_macenko.ravel().tolist(), "reinhard": after_reinhard.ravel().tolist(),
    })
print(json.dumps(answers))

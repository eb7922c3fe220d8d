"""What numpy, scipy and Pillow make of the images and settings on stdin."""

import io
import json
import sys

import numpy as np
from PIL import Image
from scipy import ndimage


def warp(image, rotation, scale, shift):
    """Rotation (clockwise, y down), scale and shift about the centre, in floating point."""
    size = image.shape[0]
    angle = np.deg2rad(rotation)
    # rows are y, columns are x
    forward = scale * np.array(
        [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    )
    backward = np.linalg.inv(forward)
    centre = np.full(2, (size - 1) / 2)
    moved = centre + size * np.array([shift[1], shift[0]])
    return np.stack(
        [
            ndimage.affine_transform(
                image[..., c], backward, centre - backward @ moved, order=1, mode="reflect"
            )
            for c in range(3)
        ],
        axis=-1,
    )


def blur(image, deviation):
    return ndimage.gaussian_filter(image, (deviation, deviation, 0), mode="reflect")


def stain(image, vectors, factors):
    first, second = (np.array(v) / np.linalg.norm(v) for v in vectors)
    third = np.cross(first, second)
    matrix = np.stack([first, second, third / np.linalg.norm(third)])
    density = -np.log((image + 1) / 256)
    amounts = density @ np.linalg.inv(matrix)
    amounts[..., :2] *= factors
    return 256 * np.exp(-(amounts @ matrix)) - 1


def light(image, brightness, contrast):
    mean = image.mean()
    return mean + (image - mean) * contrast + 255 * brightness


def jpeg(image, quality):
    buffer = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(buffer, "jpeg", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(buffer)).astype(float)


operations = {f.__name__: f for f in (warp, blur, stain, light, jpeg)}
request = json.load(sys.stdin)
size = request["size"]
picture = np.array(request["pixels"], dtype=float).reshape(size, size, 3)
answers = [
    np.clip(operations[case["name"]](picture, *case["values"]), 0, 255).ravel().tolist()
    for case in request["cases"]
]
json.dump(answers, sys.stdout)

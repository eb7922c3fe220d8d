"""Decodes the same images as bench/decode.ts, once per line of standard input: "pillow" or "tf".

Arguments: the number of threads for tf.data, then the files. Answers each line with the seconds.
"""

import sys
import time

import numpy as np
from PIL import Image

SIDE = 224
threads = int(sys.argv[1])
files = sys.argv[2:]


def pillow():
    for file in files:
        np.asarray(Image.open(file).convert("RGB").resize((SIDE, SIDE), Image.BILINEAR))


def make_tf():
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(threads)

    def read(path):
        image = tf.io.decode_image(tf.io.read_file(path), 3, expand_animations=False)
        return tf.image.resize(image, (SIDE, SIDE), antialias=True)

    def run():
        data = tf.data.Dataset.from_tensor_slices(files)
        for _ in data.map(read, num_parallel_calls=threads).batch(32).prefetch(2):
            pass

    return run


runs = {"pillow": pillow}
for line in sys.stdin:
    name = line.strip()
    if name == "tf" and name not in runs:
        runs[name] = make_tf()
        runs[name]()
    start = time.perf_counter()
    runs[name]()
    print(time.perf_counter() - start, flush=True)

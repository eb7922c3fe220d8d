"""Probabilities of an exported model for images that were decoded elsewhere, by Python Keras.

    python parity_keras.py MODEL.keras PIXELS OUT

PIXELS holds 8-bit RGB images of the model's size one after another; OUT receives one row of 32-bit
floats an image. Preprocessing is done here, from what the model file says of it.
"""
import json
import os
import sys
import zipfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np

BATCH = 32

model_path, pixels_path, out_path = sys.argv[1:]
with zipfile.ZipFile(model_path) as archive:
    card = json.loads(archive.read("metadata.json"))["model_card"]
size = card["architecture"]["imageSize"]
preprocessing = card["preprocessing"]
mean = np.array(preprocessing["mean"], "float32")
scale = np.float32(preprocessing["scale"])

model = keras.models.load_model(model_path)
pixels = np.memmap(pixels_path, "u1", "r").reshape(-1, size, size, 3)
with open(out_path, "wb") as out:
    for start in range(0, len(pixels), BATCH):
        rgb = pixels[start : start + BATCH].astype("float32")  # (n, size, size, 3)
        ordered = rgb[..., ::-1] if preprocessing["channels"] == "BGR" else rgb
        probabilities = model.predict_on_batch((ordered - mean) / scale)  # (n, classes)
        out.write(np.asarray(probabilities, "<f4").tobytes())
print(keras.__version__)

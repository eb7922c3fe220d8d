"""Classifies a folder with Keras, as a peer of `deno task evaluate`: predict.py MODEL FOLDER CSV."""

import csv
import resource
import sys

import keras
import numpy as np

if __name__ == "__main__":
    model_path, folder, out = sys.argv[1:]
    model = keras.models.load_model(model_path)
    data = keras.utils.image_dataset_from_directory(
        folder, labels=None, image_size=(224, 224), batch_size=32, shuffle=False, verbose=False,
    )
    preprocess = keras.applications.resnet50.preprocess_input
    answers = model.predict(data.map(preprocess).prefetch(2), verbose=0)
    with open(out, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "ground_truth"])
        for path, answer in zip(data.file_paths, np.argmax(answers, axis=1)):
            rows.writerow([path, ["negative", "positive"][answer]])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

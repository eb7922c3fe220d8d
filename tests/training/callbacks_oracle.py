"""Keras' own callbacks, driven through traces of validation scores by a model that does nothing.

Reads a list of traces on stdin (NaN arrives as null) and answers with a list of decisions.
"""
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import keras

LOWER_IS_BETTER = {"val_loss"}


class FakeModel:
    """Its only weight is the epoch it was trained to."""

    def __init__(self, learning_rate):
        self.optimizer = keras.optimizers.SGD(learning_rate)
        self.stop_training = False
        self.weights = None
        self.saved = []

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights

    def save(self, filepath, overwrite):
        self.saved.append(self.weights)


def mode(monitor):
    return "min" if monitor in LOWER_IS_BETTER else "max"


def callbacks(options):
    checkpoint = options["checkpoint"]["monitor"]
    plateau = options["reduceLROnPlateau"]
    stopping = options["earlyStopping"]
    return [
        keras.callbacks.ModelCheckpoint(
            "best.keras", monitor=checkpoint, mode=mode(checkpoint), save_best_only=True
        ),
        keras.callbacks.ReduceLROnPlateau(
            monitor=plateau["monitor"],
            mode=mode(plateau["monitor"]),
            factor=plateau["factor"],
            patience=plateau["patience"],
            min_delta=plateau["minDelta"],
            cooldown=plateau["cooldown"],
            min_lr=plateau["minLearningRate"],
        ),
        keras.callbacks.EarlyStopping(
            monitor=stopping["monitor"],
            mode=mode(stopping["monitor"]),
            patience=stopping["patience"],
            min_delta=stopping["minDelta"],
            restore_best_weights=stopping["restoreBest"],
        ),
    ]


def follow(trace):
    model = FakeModel(trace["learningRate"])
    listeners = callbacks(trace["options"])
    for listener in listeners:
        listener.set_model(model)
        listener.on_train_begin()
    learning_rates = []
    for epoch, row in enumerate(trace["rows"]):
        model.weights = epoch + 1
        logs = {name: float("nan") if value is None else value for name, value in row.items()}
        for listener in listeners:
            listener.on_epoch_begin(epoch)
            listener.on_epoch_end(epoch, logs)
        learning_rates.append(float(model.optimizer.learning_rate.numpy()))
        if model.stop_training:
            break
    epochs = len(learning_rates)
    for listener in listeners:
        listener.on_train_end()
    return {
        "learningRates": learning_rates,
        "saved": model.saved,
        "epochs": epochs,
        "restored": model.weights,
    }


json.dump([follow(trace) for trace in json.load(sys.stdin)], sys.stdout)

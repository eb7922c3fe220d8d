"""The recipe in Python Keras, as a peer of bench/training.ts.

Usage: train.py plain|cached FOLDER WEIGHTS EPOCHS

FOLDER holds train/ and validation/, each with one folder a class. `plain` is what a tutorial does:
the whole model, `fit` over `image_dataset_from_directory`. `cached` is the best that a careful user
does: the frozen part once, its outputs held in memory, `fit` over the rest. Prints "batch" after the
first training batch, "epoch" after each epoch and at the end a line of JSON.
"""

import json
import resource
import sys
import time

import numpy as np
import keras
from keras import layers

SIZE, BATCH, UNFROZEN = 224, 32, 30


class Report(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.first = True

    def on_train_batch_end(self, batch, logs=None):
        if self.first:
            print("batch", flush=True)
            self.first = False

    def on_epoch_end(self, epoch, logs=None):
        print("epoch", flush=True)


def callbacks(folder, epochs):
    return [
        Report(),
        keras.callbacks.ModelCheckpoint(f"{folder}/best.keras", save_best_only=True),
        keras.callbacks.ReduceLROnPlateau(factor=0.1, patience=3, min_lr=1e-6),
        keras.callbacks.EarlyStopping(patience=epochs, restore_best_weights=True),
    ]


def dataset(folder, subset, shuffle):
    return keras.utils.image_dataset_from_directory(
        f"{folder}/{subset}", image_size=(SIZE, SIZE), batch_size=BATCH, label_mode="categorical",
        shuffle=shuffle, seed=1, verbose=False,
    )


def head(x):
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(512, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.4)(x)
    x = layers.Dense(256, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.3)(x)
    return layers.Dense(2, activation="softmax")(x)


def backbone(weights):
    base = keras.applications.ResNet50(
        include_top=False, weights=weights, input_shape=(SIZE, SIZE, 3),
    )
    for layer in base.layers:
        layer.trainable = False
    for layer in base.layers[-UNFROZEN:]:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)
    return base


def compiled(model):
    model.compile(
        keras.optimizers.Adam(1e-4), "categorical_crossentropy",
        metrics=["accuracy", keras.metrics.AUC()],
    )
    return model


def plain(folder, weights, epochs):
    preprocess = keras.applications.resnet50.preprocess_input
    train, validation = (
        dataset(folder, subset, subset == "train").map(lambda x, y: (preprocess(x), y)).prefetch(2)
        for subset in ("train", "validation")
    )
    base = backbone(weights)
    model = compiled(keras.Model(base.input, head(base.output)))
    model.fit(
        train, validation_data=validation, epochs=epochs, verbose=0, callbacks=callbacks(folder, epochs)
    )


def cached(folder, weights, epochs):
    """The boundary is what the unfrozen layers read: two tensors, the second at every other pixel."""
    preprocess = keras.applications.resnet50.preprocess_input
    base = backbone(weights)
    first, second = base.get_layer("conv5_block1_1_bn"), base.get_layer("conv4_block6_out")
    frozen = keras.Model(base.input, [first.output, second.output[:, ::2, ::2, :]])
    inputs = [layers.Input(tensor.shape[1:]) for tensor in frozen.outputs]
    model = compiled(keras.Model(inputs, head(tail(base, *inputs))))
    data = []
    for subset in ("train", "validation"):
        parts, labels = [[], []], []
        for pixels, label in dataset(folder, subset, False):
            for part, tensor in zip(parts, frozen.predict_on_batch(preprocess(pixels))):
                part.append(tensor)
            labels.append(label)
        data.append(([np.concatenate(part) for part in parts], np.concatenate(labels)))
    (x, y), validation = data
    model.fit(
        x, y, batch_size=BATCH, validation_data=validation, epochs=epochs, verbose=0,
        callbacks=callbacks(folder, epochs),
    )


def tail(base, x, shortcut):
    """Everything behind the boundary, out of the backbone's own layers."""
    layer = lambda name: base.get_layer(f"conv5_{name}")  # noqa: E731
    projection = layer("block1_0_conv")
    pointwise = layers.Conv2D(2048, 1, trainable=projection.trainable)  # stride 1 of every other
    pointwise.build(shortcut.shape)
    pointwise.set_weights(projection.get_weights())
    x = layer("block1_1_relu")(x)
    x = layer("block1_3_bn")(layer("block1_3_conv")(
        layer("block1_2_relu")(layer("block1_2_bn")(layer("block1_2_conv")(x)))))
    x = layer("block1_out")(layer("block1_add")([layer("block1_0_bn")(pointwise(shortcut)), x]))
    for block in ("block2", "block3"):
        before = x
        for part in ("1_conv", "1_bn", "1_relu", "2_conv", "2_bn", "2_relu", "3_conv", "3_bn"):
            x = layer(f"{block}_{part}")(x)
        x = layer(f"{block}_out")(layer(f"{block}_add")([before, x]))
    return x


if __name__ == "__main__":
    kind, folder, weights, epochs = sys.argv[1:]
    started = time.perf_counter()
    {"plain": plain, "cached": cached}[kind](folder, weights, int(epochs))
    print(json.dumps({
        "seconds": time.perf_counter() - started,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }))

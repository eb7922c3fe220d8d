"""Keras' answers about the same network: reads one JSON request on stdin, answers with one on stdout.

The request names the question; weights come as raw little-endian 32-bit floats in a file, in the
order of `weights`. Nothing that Keras answers is kept.
"""
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(1)


class InferenceBatchNormalization(keras.layers.BatchNormalization):
    """Normalises with its moving statistics whatever it is told; gamma and beta are trained.

    `base(inputs, training=False)` says the same, but Keras 3's `fit` overrides it with
    `training=True` (keras-team/keras, issue 20285).
    """

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=False, mask=mask)


def build(request):
    """The reference recipe in plain Keras, with the weights of the request."""
    size = request["imageSize"]
    base = keras.applications.ResNet50(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    if request.get("batchNorm", "frozen") == "frozen":
        base = keras.models.clone_model(
            base,
            clone_function=lambda layer: InferenceBatchNormalization.from_config(layer.get_config())
            if isinstance(layer, keras.layers.BatchNormalization)
            else type(layer).from_config(layer.get_config()),
        )
    layers = keras.layers
    frozen = len(base.layers) - request.get("unfreezeLast", 0)
    for index, layer in enumerate(base.layers):
        layer.trainable = index >= frozen
    inputs = keras.Input((size, size, 3))
    x = layers.GlobalAveragePooling2D(name="head_pool")(base(inputs))
    x = layers.Dense(512, activation="relu", name="head_dense_1")(x)
    x = layers.BatchNormalization(name="head_bn_1")(x)
    x = layers.Dense(256, activation="relu", name="head_dense_2")(x)
    x = layers.BatchNormalization(name="head_bn_2")(x)
    outputs = layers.Dense(2, activation="softmax", name="predictions")(x)
    model = keras.Model(inputs, outputs)
    by_name = {layer.name: layer for layer in [*base.layers, *model.layers]}
    values = np.fromfile(request["file"], "<f4")
    offset = 0
    for entry in request["weights"]:
        layer, weight = entry["name"].split("/")
        size = int(np.prod(entry["shape"]))
        variable = next(v for v in by_name[layer].variables if v.name == weight)
        variable.assign(values[offset : offset + size].reshape(entry["shape"]))
        offset += size
    assert offset == len(values)
    return model, by_name


def images(request):
    n, size = request["n"], request["imageSize"]
    return np.fromfile(request["images"], "u1").reshape(n, size, size, 3)


def preprocess(request):
    return keras.applications.resnet50.preprocess_input(images(request).astype("float32"))


def answer_layers(request):
    base = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(224, 224, 3))
    return [
        {
            "name": layer.name,
            "shape": list(layer.output.shape[1:]),
            "weights": [list(variable.shape) for variable in layer.variables],
        }
        for layer in base.layers
    ]


def answer_preprocess(request):
    return preprocess(request).ravel().tolist()


def answer_predict(request):
    model, _ = build(request)
    return model.predict(preprocess(request), verbose=0).tolist()


def answer_train(request):
    """Losses of `steps` steps over the batches in turn, and what the training left."""
    model, by_name = build(request)
    model.compile(
        optimizer=keras.optimizers.Adam(request["learningRate"]),
        loss="categorical_crossentropy",
    )
    x = preprocess(request)
    y = keras.utils.to_categorical(request["labels"], 2)
    size = request["batchSize"]
    losses = []
    for step in range(request["steps"]):
        start = (step * size) % len(x)
        model.reset_metrics()
        losses.append(float(model.train_on_batch(x[start : start + size], y[start : start + size])))
    moving = by_name["head_bn_1"].moving_variance.numpy().tolist()
    return {"losses": losses, "moving_variance": moving}


def answer_gradients(request):
    """Gradients of the loss in the first batch, by our names."""
    model, by_name = build(request)
    x = preprocess(request)[: request["batchSize"]]
    y = keras.utils.to_categorical(request["labels"][: request["batchSize"]], 2)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(keras.losses.categorical_crossentropy(y, model(x, training=True)))
    variables = model.trainable_variables
    gradients = tape.gradient(loss, variables)
    return {
        "/".join(v.path.split("/")[-2:]): g.numpy().ravel().tolist()
        for v, g in zip(variables, gradients)
        if g.shape.num_elements() < 300000
    }


request = json.load(sys.stdin)
answer = globals()["answer_" + request["question"]](request)
json.dump(answer, sys.stdout)

"""Keras' answers about the same network: reads one JSON request on stdin, answers with one on stdout.

The request names the question; weights come as raw little-endian 32-bit floats in a file, in the
order of `weights`. Nothing that Keras answers is kept.
"""
import json
import os
import re
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


def efficientnet_lite0(size):
    """EfficientNet-Lite0 as TensorFlow's `efficientnet/lite` has it, from B0's block strings."""
    layers = keras.layers
    blocks = ["r1_k3_s1_e1_i32_o16", "r2_k3_s2_e6_i16_o24", "r2_k5_s2_e6_i24_o40"]
    blocks += ["r3_k3_s2_e6_i40_o80", "r3_k5_s1_e6_i80_o112", "r4_k5_s2_e6_i112_o192"]
    blocks += ["r1_k3_s1_e6_i192_o320"]
    convolution = {"padding": "same", "use_bias": False}

    def normalise(x, name, activate=True):
        x = layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=f"{name}bn")(x)
        return layers.ReLU(max_value=6, name=f"{name}activation")(x) if activate else x

    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(32, 3, strides=2, name="stem_conv", **convolution)(inputs)
    x = normalise(x, "stem_")
    for stage, text in enumerate(blocks, start=1):
        b = {option[0]: int(option[1:]) for option in text.split("_")}
        for repeat in range(b["r"]):
            name = f"block{stage}{'abcd'[repeat]}_"
            stride, width = (b["s"], b["i"]) if repeat == 0 else (1, b["o"])
            block_input = x
            if b["e"] > 1:
                x = layers.Conv2D(b["e"] * width, 1, name=f"{name}expand_conv", **convolution)(x)
                x = normalise(x, f"{name}expand_")
            # Padded by hand, as keras.applications does.
            before, after = (b["k"] - 1) // 2, b["k"] // 2
            if stride == 2:
                before, after = (before - 1, after) if x.shape[1] % 2 == 0 else (before, after)
            x = layers.ZeroPadding2D(((before, after), (before, after)), name=f"{name}pad")(x)
            x = layers.DepthwiseConv2D(
                b["k"], strides=stride, padding="valid", use_bias=False, name=f"{name}dwconv"
            )(x)
            x = normalise(x, name)
            x = layers.Conv2D(b["o"], 1, name=f"{name}project_conv", **convolution)(x)
            x = normalise(x, f"{name}project_", activate=False)
            if stride == 1 and width == b["o"]:
                x = layers.Add(name=f"{name}add")([x, block_input])
    x = layers.Conv2D(1280, 1, name="top_conv", **convolution)(x)
    return keras.Model(inputs, normalise(x, "top_"))


def backbone(request, size):
    if request["backbone"] == "efficientnet_lite0":
        return efficientnet_lite0(size)
    return keras.applications.ResNet50(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )


def attend(x, kind):
    """The blocks as their papers have them: layers of Keras for what has weights, called twice where
    weights are shared; operations for all else."""
    layers, ops = keras.layers, keras.ops
    if kind == "none":
        return x
    channels = x.shape[-1]
    reduce = layers.Dense(channels // 16, activation="relu", name="head_attention_reduce")
    expand = layers.Dense(channels, name="head_attention_expand")
    hidden = reduce(ops.mean(x, (1, 2)))
    if kind == "cbam":
        hidden = hidden + reduce(ops.max(x, (1, 2)))
    x = x * ops.reshape(ops.sigmoid(expand(hidden)), (-1, 1, 1, channels))
    if kind == "se":
        return x
    pools = [ops.mean(x, 3, keepdims=True), ops.max(x, 3, keepdims=True)]
    conv = layers.Conv2D(1, 7, padding="same", name="head_attention_conv")
    return x * ops.sigmoid(conv(ops.concatenate(pools, 3)))


def build(request):
    """The reference recipe in plain Keras, with the weights of the request."""
    size = request["imageSize"]
    base = backbone(request, size)
    if request.get("batchNorm", "frozen") == "frozen":
        base = keras.models.clone_model(
            base,
            clone_function=lambda layer: InferenceBatchNormalization.from_config(layer.get_config())
            if isinstance(layer, keras.layers.BatchNormalization)
            else type(layer).from_config(layer.get_config()),
        )
    layers = keras.layers
    # Padding in layers of its own is this script's, and no layer of ours.
    counted = [layer for layer in base.layers if not re.match(r"block\d\w_pad", layer.name)]
    for layer in counted[: len(counted) - request.get("unfreezeLast", 0)]:
        layer.trainable = False
    inputs = keras.Input((size, size, 3))
    x = attend(base(inputs), request.get("attention", "none"))
    x = layers.GlobalAveragePooling2D(name="head_pool")(x)
    for i, units in enumerate(request.get("units", [512, 256]), start=1):
        x = layers.Dense(units, activation="relu", name=f"head_dense_{i}")(x)
        x = layers.BatchNormalization(name=f"head_bn_{i}")(x)
    outputs = layers.Dense(2, activation="softmax", name="predictions")(x)
    model = keras.Model(inputs, outputs)
    by_name = {layer.name: layer for layer in [*base.layers, *model.layers]}
    values = np.fromfile(request["file"], "<f4")
    offset = 0
    for entry in request["weights"]:
        size = int(np.prod(entry["shape"]))
        variable = variable_of(by_name, entry["name"])
        variable.assign(values[offset : offset + size].reshape(variable.shape))
        offset += size
    assert offset == len(values)
    return model, by_name


def variable_of(by_name, name):
    layer, weight = name.split("/")
    weight = weight.removeprefix("depthwise_")  # Keras 3 calls this kernel a kernel too
    return next(v for v in by_name[layer].variables if v.name == weight)


def images(request):
    n, size = request["n"], request["imageSize"]
    return np.fromfile(request["images"], "u1").reshape(n, size, size, 3)


def preprocess(request):
    pixels = images(request).astype("float32")
    if request["backbone"] == "efficientnet_lite0":
        return (pixels - 127) / 128
    return keras.applications.resnet50.preprocess_input(pixels)


def answer_layers(request):
    base = backbone(request, 224)
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


def answer_gradients(request):
    """Of the loss of all images as one batch, for the weights that `names` has."""
    model, by_name = build(request)
    variables = [variable_of(by_name, name).value for name in request["names"]]
    y = keras.utils.to_categorical(request["labels"], 2)
    with tf.GradientTape() as tape:
        probabilities = model(preprocess(request), training=True)
        loss = tf.reduce_mean(keras.losses.categorical_crossentropy(y, probabilities))
    return [gradient.numpy().ravel().tolist() for gradient in tape.gradient(loss, variables)]


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


def answer_train_each(request):
    """The same for several settings, each from the weights of the request."""
    answers = []
    for case in request["cases"]:
        keras.backend.clear_session()
        answers.append(answer_train({**request, **case}))
    return answers


def class_activation_maps(request):
    """Grad-CAM of each case's layer and class: [n, height, width].

    The usual Keras recipe: a model that gives the layer's activation beside its own output, and the
    gradient of the score with respect to the activation.
    """
    model, by_name = build(request)
    base = model.layers[1]
    x = preprocess(request)
    answers = []
    for case in request["cases"]:
        inner = keras.Model(base.input, [base.get_layer(case["layer"]).output, base.output])
        with tf.GradientTape() as tape:
            activation, features = inner(x, training=False)
            for name in ["head_pool", "head_dense_1", "head_bn_1", "head_dense_2", "head_bn_2"]:
                features = by_name[name](features, training=False)
            kernel, bias = by_name["predictions"].variables
            logits = tf.matmul(features, kernel) + bias
            score = logits[:, case["class"]]
        gradient = tape.gradient(score, activation).numpy().astype("float64")
        activation = activation.numpy().astype("float64")
        weights = gradient.mean((1, 2), keepdims=True)
        cam = np.maximum((weights * activation).sum(3), 0)
        answers.append(cam.tolist())
    return answers


def answer_class_activation_maps(request):
    """For several models, each with weights, images and cases of its own."""
    return [class_activation_maps(each) for each in request["models"]]


request = json.load(sys.stdin)
answer = globals()["answer_" + request["question"]](request)
json.dump(answer, sys.stdout)

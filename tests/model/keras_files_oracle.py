"""Keras' side of the weights files: writes files for the project to read, reads what it wrote.

Reads one JSON request on stdin, answers with one on stdout. Nothing that it makes is kept.
"""
import json
import os
import sys
import warnings
import zipfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import h5py
import keras
import numpy as np

keras.utils.set_random_seed(1)
random = np.random.default_rng(1)


def disturb(model):
    """Moves BatchNorm off its initial values; small residual branches keep activations finite."""
    for layer in model.layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        branch = 0.2 if layer.name.endswith("_3_bn") else 1.0
        gamma, beta, mean, variance = layer.get_weights()
        layer.set_weights(
            [
                branch * random.uniform(0.8, 1.2, gamma.shape),
                random.normal(0, 0.1, beta.shape),
                random.normal(0, 0.1, mean.shape),
                random.uniform(0.8, 1.2, variance.shape),
            ]
        )


def with_recipe_head(base):
    layers = keras.layers
    x = layers.GlobalAveragePooling2D(name="head_pool")(base.output)
    x = layers.Dense(512, activation="relu", name="head_dense_1")(x)
    x = layers.BatchNormalization(name="head_bn_1")(x)
    x = layers.Dropout(0.4, name="head_dropout_1")(x)
    x = layers.Dense(256, activation="relu", name="head_dense_2")(x)
    x = layers.BatchNormalization(name="head_bn_2")(x)
    x = layers.Dropout(0.3, name="head_dropout_2")(x)
    return keras.Model(base.inputs, layers.Dense(2, activation="softmax", name="predictions")(x))


def save_as_official(model, path):
    """Weights only, in the layout of the files that keras.applications downloads."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        file.attrs["backend"] = b"tensorflow"
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{v.name}:0" for v in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, variable in zip(names, layer.weights):
                group.create_dataset(name, data=variable.numpy())


def remove_names(path):
    """As Keras 3 wrote `.weights.h5` before it told the names of layers."""
    with h5py.File(path, "a") as file:
        file.visititems(lambda _, item: item.attrs.pop("name", None) and None)


def answer_write(request):
    """All kinds of files of one ResNet50 with random weights, and of models that are not it."""
    at = lambda name: os.path.join(request["folder"], name)
    size = request["imageSize"]
    base = keras.applications.ResNet50(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    disturb(base)
    base.save_weights(at("backbone.weights.h5"))
    base.save_weights(at("no_names.weights.h5"))
    remove_names(at("no_names.weights.h5"))
    base.save(at("backbone.h5"))
    base.save(at("backbone.keras"))
    save_as_official(base, at("official.h5"))

    inputs = keras.Input((size, size, 3))
    x = keras.layers.GlobalAveragePooling2D()(base(inputs))
    nested = keras.Model(inputs, keras.layers.Dense(3, name="predictions")(x))
    nested.compile("adam", "mse")
    nested.save(at("nested.h5"))
    nested.save(at("nested.keras"))
    nested.save_weights(at("nested_no_names.weights.h5"))
    remove_names(at("nested_no_names.weights.h5"))

    recipe = with_recipe_head(base)
    recipe.save(at("recipe.keras"))

    other = keras.applications.ResNet101(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    other.save_weights(at("resnet101.weights.h5"))
    remove_names(at("resnet101.weights.h5"))
    save_as_official(other, at("resnet101.h5"))
    other = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    other.save(at("mobilenet.keras"))

    images = np.fromfile(request["images"], "u1").reshape(-1, size, size, 3).astype("float32")
    inputs = keras.applications.resnet50.preprocess_input(images)
    return recipe.predict(inputs, verbose=0).tolist()


def answer_load(request):
    """What Keras makes of an exported model: probabilities, and whether anything was odd."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = keras.models.load_model(request["path"])
    card = json.loads(zipfile.ZipFile(request["path"]).read("metadata.json"))["model_card"]
    if "resave" in request:
        model.save(request["resave"])
    size = card["architecture"]["imageSize"]
    images = np.fromfile(request["images"], "u1").reshape(-1, size, size, 3).astype("float32")
    pre = card["preprocessing"]
    ordered = images[..., ::-1] if pre["channels"] == "BGR" else images
    inputs = (ordered - np.array(pre["mean"], "float32")) / np.float32(pre["scale"])
    return {
        "probabilities": model.predict(inputs, verbose=0).tolist(),
        "layers": [layer.name for layer in model.layers],
        "warnings": [str(warning.message) for warning in caught],
        "card": card,
    }


request = json.load(sys.stdin)
answer = globals()["answer_" + request["question"]](request)
json.dump(answer, sys.stdout)

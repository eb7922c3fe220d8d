"""Keras' files by h5py and zipfile, without Keras, which takes seconds to import, and 0.6 GB.

    write REQUEST   writes a .keras archive, which keras.models.load_model opens
    read REQUEST    reads weights from any file that Keras writes
    card FILE       prints the model card in a .keras archive

REQUEST is a JSON file. Files come from anywhere: nothing in them is deserialised or run, no link in
them is followed to another file, and sizes are checked before anything is read. For a file that
cannot be used the output is {"refused": reason}.
"""
import io
import json
import os
import re
import shutil
import sys
import zipfile
import zlib

import h5py
import numpy as np

MAX_WEIGHTS_BYTES = 1 << 30  # 25 million parameters with their optimiser take 300 MB
MAX_METADATA_BYTES = 1_000_000
MAX_DEPTH = 8  # of models within models
WEIGHTS = "model.weights.h5"


class Refused(Exception):
    """The message completes "it cannot be used: ..."."""


def write(request):
    """Equal requests give equal files: `topology`, `metadata`, `weights` whose numbers are in the
    file `values`, and `out`."""
    numbers, at = np.fromfile(request["values"], "<f4"), 0
    path = os.path.join(request["folder"], WEIGHTS)
    with h5py.File(path, "w") as file:
        variables = {}
        for name, in_file in file_names(request["topology"]).items():
            variables[name] = file.create_group(f"layers/{in_file}/vars")
            variables[name].attrs["name"] = name
        file.create_group("vars")  # the model's own, beyond its layers: none
        for weight in request["weights"]:
            group = variables[weight["name"].split("/")[0]]
            size = int(np.prod(weight["shape"]))
            group[str(len(group))] = numbers[at : at + size].reshape(weight["shape"])
            at += size
    config = {
        **request["topology"],
        "module": "keras.src.models.functional",
        "registered_name": "Functional",
        "build_config": {},
        "compile_config": {},
    }
    with zipfile.ZipFile(request["out"], "w") as archive:
        archive.writestr(zipfile.ZipInfo("metadata.json"), json.dumps(request["metadata"]))
        archive.writestr(zipfile.ZipInfo("config.json"), json.dumps(config))
        with archive.open(zipfile.ZipInfo(WEIGHTS), "w") as entry, open(path, "rb") as weights:
            shutil.copyfileobj(weights, entry, 1 << 20)


def file_names(topology):
    """What HDF5 files of Keras 3 call layers: their class in snake case, numbered from the second
    on (keras.src.saving.saving_lib; `to_snake_case` of keras.src.utils.naming)."""
    used, names = {}, {}
    for layer in topology["config"]["layers"] if topology else []:
        base = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", layer["class_name"])
        base = re.sub(r"([a-z])([A-Z])", r"\1_\2", base).lower()
        count = used[base] = used.get(base, -1) + 1
        names[layer["name"]] = f"{base}_{count}" if count else base
    return names


def card(path):
    return json.loads(read_entry(path, "metadata.json", MAX_METADATA_BYTES))["model_card"]


def read_entry(path, name, most):
    try:
        with zipfile.ZipFile(path) as archive:
            if name not in archive.namelist():
                raise Refused(f"it has no {name} inside")
            if archive.getinfo(name).file_size > most:
                raise Refused("a file in it is far too large")
            return archive.read(name)
    except zipfile.BadZipFile as error:
        damaged = "CRC" in str(error)
        raise Refused("a file in it is damaged" if damaged else "it is cut off") from error
    except (OSError, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise Refused("a file in it is damaged") from error


def read(request):
    """Writes the numbers of the `required` weights, and of the `optional` ones when all of their
    layers are there, one after another into the file `values`; returns their names."""
    source, required, optional = request["path"], request["required"], request["optional"]
    try:
        with open(source, "rb") as file:
            start = file.read(8)
    except OSError as error:
        raise Refused("it cannot be read") from error
    if start.startswith(b"PK\3\4"):
        source = io.BytesIO(read_entry(source, WEIGHTS, MAX_WEIGHTS_BYTES))
    elif start != b"\x89HDF\r\n\x1a\n":
        raise Refused("it is neither an HDF5 file (.h5) nor a .keras archive")
    known = {spec["layer"] for spec in required + optional}
    try:
        with h5py.File(source, "r") as file:
            layers = stored_layers(file, known, file_names(request["topology"]))
            complete = all(spec["layer"] in layers for spec in optional)
            for name, stored in layers.items():
                if name in known or not stored:
                    continue
                if name.startswith("head_"):  # of a head with other layers than ours
                    complete = False
                elif any(len(dataset.shape or ()) == 4 for dataset in stored.values()):
                    # of a larger network of the same family
                    raise Refused(f'its layer "{name}" is not one of this backbone')
            specs = required + (optional if complete else [])
            found = {spec["name"]: read_weight(layers, spec, specs) for spec in specs}
    except Refused:
        raise
    except Exception as error:  # whatever h5py or a crafted file can come up with
        raise Refused("it is cut off or damaged") from error
    with open(request["values"], "wb") as values:
        for weight in found.values():
            values.write(weight.astype("<f4").tobytes())
    return list(found)


def read_weight(layers, spec, specs):
    name, layer = spec["name"], spec["layer"]
    stored = layers.get(layer, {})
    place = [other["name"] for other in specs if other["layer"] == layer].index(name)
    weight = name.removeprefix(f"{layer}/")
    names = [weight, weight.removeprefix("depthwise_"), str(place)]  # Keras 2, 3, unnamed
    dataset = next((stored[key] for key in names if key in stored), None)
    if dataset is None:
        raise Refused(f"the weight {name} is missing")
    shape, wanted = (",".join(map(str, s or ())) for s in (dataset.shape, spec["shape"]))
    if shape != wanted:
        raise Refused(f"the weight {name} is [{shape}] where [{wanted}] is needed")
    if dataset.external or dataset.is_virtual:
        raise Refused(f"the weight {name} is kept in another file")
    if dataset.dtype.newbyteorder("=") != np.float32:
        raise Refused(f"the weight {name} is not stored as 32-bit floats")
    values = dataset[()]
    if not np.isfinite(values).all():
        raise Refused(f"the weight {name} holds values that are no numbers")
    return values


def stored_layers(root, known, names):
    """The datasets of each layer: by the weight's name where the file tells it (`kernel`), else by
    its place among the layer's weights (`0`). `known` are our layers with weights, `names` how
    Keras 3 calls our layers in files that do not tell their names."""
    legacy = child(root, "model_weights") or root
    if "layer_names" in legacy.attrs or "layer_names0" in legacy.attrs:
        return legacy_layers(legacy, known)
    containers = layer_containers(root)
    if not containers:
        raise Refused("it holds no Keras layers")
    named = {}  # Keras 3 since about 3.6: `layers/conv2d_1/vars/0`, where `vars` has the layer's name
    for variables in (child(layer, "vars") for layers in containers for layer in layers.values()):
        if variables and isinstance(name := variables.attrs.get("name"), str):
            named.setdefault(name, {}).update(datasets(variables))
    if named:
        return named
    # Before that, our layers are those of the container with the most convolutions; what it has
    # beyond ours keeps its own name.
    convolutions = lambda container: sum(name.startswith("conv2d") for name in container)
    ours = {in_file: name for name, in_file in names.items()}
    return {
        ours.get(in_file, in_file): datasets(variables)
        for in_file, layer in max(containers, key=convolutions).items()
        if (variables := child(layer, "vars"))
    }


def legacy_layers(root, known):
    """`save_weights` of Keras 2 and `save("x.h5")` of any: a group a layer, whose attribute
    `weight_names` lists its datasets; that of a model within the model lists all of its layers'."""
    layers = {}
    for group_name in root:
        group = child(root, group_name)
        for path in text_list(group.attrs, "weight_names") if group else []:
            *scopes, weight = path.removesuffix(":0").split("/")
            dataset = child(group, path, h5py.Dataset)
            if dataset is None:
                continue
            name = scopes[-1] if scopes and group_name not in known else group_name
            layers.setdefault(name, {})[weight] = dataset
    return layers


def text_list(attrs, name):
    """A list of texts, which Keras splits over `name0`, `name1`, ... when it is long."""
    keys = [key for key in attrs if re.fullmatch(rf"{name}\d*", key)]
    keys.sort(key=lambda key: (len(key), key))
    texts = [text for key in keys for text in attrs[key]]
    return [text.decode() if isinstance(text, bytes) else str(text) for text in texts]


def layer_containers(group, depth=0):
    """The layers' groups of the model and of each model within it, by their names in the file."""
    found = []
    for name in ["layers", "_layer_checkpoint_dependencies"] if depth <= MAX_DEPTH else []:
        container = child(group, name)
        if container is None:
            continue
        layers = {key: layer for key in container if (layer := child(container, key))}
        found.append(layers)
        for layer in layers.values():
            found += layer_containers(layer, depth + 1)
    return found


def datasets(group):
    found = {key: child(group, key, h5py.Dataset) for key in group}
    return {key: dataset for key, dataset in found.items() if dataset is not None}


def child(group, path, kind=None):
    """What lies at a path below a group in the same file; None when there is no such group (or
    other `kind`)."""
    for name in path.split("/"):
        if not isinstance(group, h5py.Group):
            return None
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            return None
        group = group[name]
    return group if isinstance(group, kind or h5py.Group) else None


def main(command, path):
    try:
        if command == "card":
            return card(path)
        with open(path) as file:
            request = {**json.load(file), "folder": os.path.dirname(path)}
        return {"write": write, "read": read}[command](request)
    except Refused as refused:
        return {"refused": str(refused)}


print(json.dumps(main(*sys.argv[1:])))

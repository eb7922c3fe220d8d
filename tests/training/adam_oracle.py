"""Keras' Adam on given gradients: reads start, learning rates and gradients, answers with the path."""
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import keras

request = json.load(sys.stdin)
variable = keras.Variable(request["start"], dtype="float32")
optimizer = keras.optimizers.Adam()
path = []
for step in request["steps"]:
    optimizer.learning_rate = step["learningRate"]
    optimizer.apply([keras.ops.convert_to_tensor(step["gradient"], "float32")], [variable])
    path.append(variable.numpy().tolist())
json.dump(path, sys.stdout)

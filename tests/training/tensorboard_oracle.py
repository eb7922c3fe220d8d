"""What TensorBoard's own reader finds in event files.

Request: a list of paths of logs. Answer: for each {run: {"tags": {tag: [[step, value, wall time],
...]}, "records": number of records, "files": names of the event files}}.
"""

import json
import logging
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
logging.disable(logging.WARNING)

from tensorboard.backend.event_processing import event_accumulator, event_file_loader


def read_run(folder):
    accumulator = event_accumulator.EventAccumulator(folder)
    accumulator.Reload()
    files = sorted(name for name in os.listdir(folder) if "tfevents" in name)
    loaders = [event_file_loader.RawEventFileLoader(os.path.join(folder, name)) for name in files]
    return {
        "tags": {
            tag: [[event.step, event.value, event.wall_time] for event in accumulator.Scalars(tag)]
            for tag in accumulator.Tags()["scalars"]
        },
        "records": sum(1 for loader in loaders for _ in loader.Load()),
        "files": files,
    }


answers = [
    {run: read_run(os.path.join(folder, run)) for run in sorted(os.listdir(folder))}
    for folder in json.load(sys.stdin)
]
json.dump(answers, sys.stdout)

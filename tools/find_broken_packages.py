"""Prints `name==version` of every installed package of which a file is missing or cut short.

A pip that is killed leaves such packages behind and takes them for installed ever after.
"""

import os
from importlib.metadata import distributions

for distribution in distributions():
    for file in distribution.files or []:
        try:
            size = os.stat(file.locate()).st_size
        except FileNotFoundError:
            size = -1
        # RECORD leaves out the sizes of files that change, such as itself.
        whole = size >= 0 if file.size is None else size == file.size
        if not whole and not str(file).endswith(".pyc"):
            print(f"{distribution.name}=={distribution.version}")
            break

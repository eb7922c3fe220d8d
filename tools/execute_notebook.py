"""Executes one notebook in the project's Deno kernel.

Usage: execute_notebook.py NOTEBOOK OUTPUT

The kernel works in the notebook's folder. What happens is reported on standard output, a JSON
object a line:

    {"event": "start", "cells": 9}
    {"event": "cell", "number": 4, "label": "Train", "source": "const model = ..."}
    {"event": "text", "line": "epoch 3/25 ..."}       the latest line that the cell shows
    {"event": "error", "name": ..., "message": ..., "traceback": ...}
    {"event": "end"}

Cells are counted as Jupyter counts them: code cells from 1. OUTPUT is written whole or not at all,
also when a cell fails. Exit code: 0, or 1 when a cell failed or the kernel died. It ends itself, and
the kernel, when its standard input is closed: so nothing outlives the process that started it.
"""

import json
import os
import queue
import re
import signal
import sys
import threading
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete, CellExecutionError, DeadKernelError

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SECONDS_BETWEEN_LINES = 0.2
SECONDS_FOR_LATE_OUTPUT = 0.15


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def label_of(cells, index):
    """The heading above a cell, else the cell's first line."""
    above = "\n".join(cell.source for cell in cells[:index] if cell.cell_type == "markdown")
    headings = re.findall(r"^#+\s+(.+)$", above, re.M)
    return headings[-1].strip() if headings else first_line(cells[index].source)


def first_line(source):
    lines = [line.strip() for line in source.splitlines()]
    code = [line for line in lines if line and not line.startswith("//")]
    return (code or lines or [""])[0][:200]


def is_code(cell):
    return cell.cell_type == "code" and cell.source.strip()


def traceback_of(notebook):
    """What the kernel wrote; nbclient's own text repeats the whole cell before it."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    errors = [output for output in outputs if output.output_type == "error"]
    return "\n".join(errors[-1].traceback) if errors else ""


class ReportingClient(NotebookClient):
    """Runs the cells and says what the running one shows."""

    last_line_at = 0.0

    def process_message(self, message, cell, cell_index):
        if message["msg_type"] in ("stream", "display_data", "update_display_data"):
            content = message["content"]
            self.report_text(content.get("text") or content.get("data", {}).get("text/plain", ""))
        return super().process_message(message, cell, cell_index)

    async def _async_poll_output_msg(self, parent_msg_id, cell, cell_index):
        """The Deno kernel may say that a cell has ended before it sends the last of its outputs."""
        await super()._async_poll_output_msg(parent_msg_id, cell, cell_index)
        while True:
            try:
                message = await self.kc.iopub_channel.get_msg(timeout=SECONDS_FOR_LATE_OUTPUT)
            except queue.Empty:
                return
            if message["parent_header"].get("msg_id") != parent_msg_id:
                continue
            try:
                self.process_message(message, cell, cell_index)
            except CellExecutionComplete:
                pass

    def report_text(self, text):
        text = "".join(text) if isinstance(text, list) else str(text)
        lines = [line for line in re.split(r"[\r\n]+", ANSI.sub("", text)) if line.strip()]
        if lines and time.monotonic() - self.last_line_at >= SECONDS_BETWEEN_LINES:
            self.last_line_at = time.monotonic()
            emit("text", line=lines[-1].strip()[:300])


def write_atomic(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def end_with_parent():
    # Not through sys.stdin, whose lock a thread that still waits would hold at the exit.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def execute(source, output):
    notebook = nbformat.read(source, as_version=4)
    code_cells = [i for i, cell in enumerate(notebook.cells) if is_code(cell)]

    def started(cell, cell_index):
        if cell_index in code_cells:
            number = code_cells.index(cell_index) + 1
            label = label_of(notebook.cells, cell_index)
            emit("cell", number=number, label=label, source=first_line(cell.source))

    client = ReportingClient(
        notebook,
        kernel_name="deno",
        timeout=None,
        startup_timeout=120,
        resources={"metadata": {"path": str(source.parent)}},
        on_cell_start=started,
    )
    emit("start", cells=len(code_cells))
    try:
        client.execute()
    except CellExecutionError as error:
        message, traceback = ANSI.sub("", error.evalue), ANSI.sub("", traceback_of(notebook))
        emit("error", name=error.ename, message=message, traceback=traceback)
        return 1
    except DeadKernelError:
        emit("error", name="DeadKernelError", message="the kernel died", traceback="")
        return 1
    finally:
        write_atomic(output, nbformat.writes(notebook))
    emit("end")
    return 0


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.exit(execute(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()))

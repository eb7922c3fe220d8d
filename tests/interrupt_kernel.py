"""Presses Stop in a real Deno kernel, as JupyterLab does: SIGINT to the kernel's process.

Request: {"cells": [{"code": ..., "stop_on": text or null}]}. A cell with "stop_on" is interrupted as
soon as its output holds that text.
Answer: a list with each cell's output as text and its status, "ok", "error" or "dead".
"""

import json
import os
import queue
import sys
import time

from jupyter_client import KernelManager

LIMIT = 120


def text_of(content):
    data = content.get("data", {})
    return content.get("text") or data.get("text/plain") or "\n".join(content.get("traceback", []))


def run(manager, client, code, stop_on):
    message_id = client.execute(code)
    output, status, interrupted = "", None, False
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if not manager.is_alive():
            return {"output": output, "status": "dead"}
        try:
            message = client.get_iopub_msg(timeout=0.2)
        except queue.Empty:
            if status is not None:
                return {"output": output, "status": status}
            continue
        if message["parent_header"].get("msg_id") != message_id:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind in ("stream", "execute_result", "display_data", "update_display_data", "error"):
            output += (text_of(content) or "") + "\n"
        if kind == "error":
            status = "error"
        if kind == "status" and content["execution_state"] == "idle":
            status = status or "ok"
        if stop_on and stop_on in output and not interrupted:
            interrupted = True
            manager.interrupt_kernel()
    return {"output": output, "status": "timeout"}


def main():
    request = json.load(sys.stdin)
    manager = KernelManager(kernel_name="deno")
    manager.start_kernel(cwd=request["folder"], env={**os.environ, **request.get("env", {})})
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        answers = []
        for cell in request["cells"]:
            answers.append(run(manager, client, cell["code"], cell.get("stop_on")))
            if answers[-1]["status"] == "dead":
                break
        print(json.dumps(answers))
    finally:
        client.stop_channels()
        if manager.is_alive():
            manager.shutdown_kernel(now=True)


main()

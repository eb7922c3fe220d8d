import { join } from "node:path";
import { projectRoot } from "../lib/core/paths.ts";
import { askPython } from "./ask_python.ts";

/** What a cell of a real kernel shows, and how it ended. */
export interface CellAnswer {
  output: string;
  status: "ok" | "error" | "dead" | "timeout";
}

/** Runs cells in a real kernel; Stop is pressed as soon as a cell shows its `stop_on`. */
export async function runCells(cells: { code: string; stop_on?: string }[]): Promise<CellAnswer[]> {
  const request = { folder: join(projectRoot, "notebooks"), cells };
  return await askPython(
    join(import.meta.dirname!, "interrupt_kernel.py"),
    request,
  ) as CellAnswer[];
}

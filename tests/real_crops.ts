import { join } from "node:path";
import { exists } from "../lib/core/files.ts";
import { projectRoot } from "../lib/core/paths.ts";

/** Folder of real crops, one folder a class, that is no part of the project. */
export const realCrops: string = join(projectRoot, "..", "shared", "glomeruli");

/** Whether they are there; tests that need them are skipped where they are not. */
export const areThere: boolean = await exists(realCrops);

if (!areThere) console.log(`Skipped where it is absent: real crops in ${realCrops}`);

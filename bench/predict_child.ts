import { resourceUsage } from "node:process";
import { evaluateFolder } from "../lib/evaluation/evaluate.ts";

const [modelFolder, folder, out] = Deno.args as [string, string, string];

const { state, unreadable } = await evaluateFolder({ modelFolder, folder, out });

if (state !== "finished" || unreadable > 0) throw new Error("not every image was classified");

console.log(resourceUsage().maxRSS / 1024);

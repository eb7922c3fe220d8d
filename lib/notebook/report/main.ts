import { writeReport } from "./write_report.ts";

/** `report/main.ts RUN [WHY_IT_STOPPED]`: writes a run's report and prints its path. */
if (import.meta.main) {
  const [run = "default", stopped = null] = Deno.args;
  console.log(await writeReport(run, { stopped }));
}

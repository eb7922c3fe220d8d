import assert from "node:assert/strict";
import { join } from "node:path";
import { projectRoot } from "../../lib/core/paths.ts";
import { inFolder, put } from "../data/test_images.ts";

/** What a script writes to standard error in a process of its own. */
async function stderrOf(lines: readonly string[], env: Record<string, string>): Promise<string> {
  let text = "";
  await inFolder(async (folder) => {
    const core = JSON.stringify(join(projectRoot, "lib", "core"));
    await put(folder, "script.ts", [`const core = ${core};`, ...lines].join("\n"));
    const config = join(projectRoot, "deno.json");
    const { stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "-q", "--no-check", "--config", config, join(folder, "script.ts")],
      env: { NO_COLOR: "1", TF_CPP_MIN_LOG_LEVEL: "", ...env },
    }).output();
    text = new TextDecoder().decode(stderr);
  });
  return text;
}

const load = ["const { tf } = await import(`${core}/tensorflow.ts`);", "tf.scalar(1).add(1);"];

Deno.test({
  name: "TensorFlow starts without a greeting, unless it is asked to speak",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const greeting = /WARNING: All log messages|^I\d{4} /m; // a GPU may have more to say
    assert.doesNotMatch(await stderrOf(load, {}), greeting);
    assert.match(await stderrOf(load, { TF_CPP_MIN_LOG_LEVEL: "0" }), greeting);
  },
});

Deno.test({
  name: "withoutGreeting() keeps all that is no greeting, also when the work fails",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const text = await stderrOf([
      "const { withoutGreeting } = await import(`${core}/tensorflow.ts`);",
      'console.error("before");',
      "const work = withoutGreeting(async () => {",
      '  console.error("I0000 00:00:1795638557.620551   16651 port.cc:153] oneDNN is on.");',
      '  console.error("E0000 00:00:1795638557.620551   16651 gpu.cc:1] no driver");',
      '  throw new Error("failed");',
      "});",
      "await work.catch(({ message }) => console.error(message));",
    ], {});
    assert.deepEqual(text.trimEnd().split("\n"), [
      "before",
      "E0000 00:00:1795638557.620551   16651 gpu.cc:1] no driver",
      "failed",
    ]);
  },
});

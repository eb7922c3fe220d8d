import { ProjectError } from "../../lib/core/errors.ts";
import { evaluateFolder } from "../../lib/evaluation/evaluate.ts";

const [folder, modelFolder, out, waitAt] = Deno.args as [string, string, string, string];

const say = (text: string) => void Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));

const PAUSE = new Int32Array(new SharedArrayBuffer(4));

try {
  const { state } = await evaluateFolder({
    ...{ folder, modelFolder, out },
    onProgress: (done) => {
      say(String(done));
      if (done === Number(waitAt)) Atomics.wait(PAUSE, 0, 0, 3000); // for the signal
    },
  });
  say(state);
} catch (error) {
  say(
    `${error instanceof ProjectError ? error.name : "unexpected"}: ${
      JSON.stringify(String(error))
    }`,
  );
}

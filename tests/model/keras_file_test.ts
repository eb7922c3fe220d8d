import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { ModelError, WeightsMissingError } from "../../lib/core/errors.ts";
import { runTool, venvPython } from "../../lib/core/python.ts";
import type { WeightSpec } from "../../lib/model/graph.ts";
import { loadKerasFile } from "../../lib/model/imagenet.ts";
import { inFolder } from "../data/test_images.ts";

const SPECS: WeightSpec[] = [{ name: "conv/kernel", layer: "conv", shape: [100, 1000] }];

const VALUES = Float32Array.from({ length: 100_000 }, (_, i) => i);

const NAME = "weights.h5";

const content = await officialFile();

const FILE = { name: NAME, md5: createHash("md5").update(content).digest("hex") };

/** A small file in the layout of Keras' official ones. */
async function officialFile(): Promise<Uint8Array> {
  const path = await Deno.makeTempFile({ suffix: ".h5" });
  const code = `
import h5py, numpy, sys
f = h5py.File(sys.argv[1], "w")
f.attrs["layer_names"] = [b"conv"]
f.create_group("conv").attrs["weight_names"] = [b"conv/kernel:0"]
f["conv/conv/kernel:0"] = numpy.arange(100_000, dtype="<f4").reshape(100, 1000)`;
  await runTool(venvPython, ["-c", code, path]);
  const bytes = await Deno.readFile(path);
  await Deno.remove(path);
  return bytes;
}

const HTML = { "content-type": "text/html; charset=utf-8" };

const whole = () => new Response(content.slice());

/** Sends half of the file, then breaks the connection. */
function broken(): Response {
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(content.slice(0, content.length >> 1));
      setTimeout(() => controller.error(new Error("broken on purpose")), 50);
    },
  });
  return new Response(body, { headers: { "content-length": String(content.length) } });
}

/** Runs a server that answers so, and an empty folder; `count` tells how often it was asked. */
async function withServer(
  answer: () => Response | Promise<Response>,
  use: (context: { folder: string; baseUrl: string; count: () => number }) => Promise<void>,
): Promise<void> {
  let requests = 0;
  const onError = () => new Response(null, { status: 500 });
  const options = { hostname: "127.0.0.1", port: 0, onListen: () => {}, onError };
  const server = Deno.serve(options, () => {
    requests++;
    return answer();
  });
  try {
    await inFolder((folder) =>
      use({ folder, baseUrl: `http://127.0.0.1:${server.addr.port}/`, count: () => requests })
    );
  } finally {
    await server.shutdown();
  }
}

const namesIn = async (folder: string) =>
  (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);

function isRight({ values, sha256 }: Awaited<ReturnType<typeof loadKerasFile>>): void {
  assert.deepEqual(values.get("conv/kernel"), VALUES);
  assert.equal(sha256, createHash("sha256").update(content).digest("hex"));
}

Deno.test("loadKerasFile() downloads a file once and tells how far it is", async () => {
  await withServer(whole, async ({ folder, baseUrl, count }) => {
    const progress: number[][] = [];
    const options = {
      folder: join(folder, "not", "there", "yet"),
      baseUrl,
      onProgress: (done: number, total: number) => progress.push([done, total]),
    };
    isRight(await loadKerasFile(FILE, SPECS, options));
    isRight(await loadKerasFile(FILE, SPECS, options));
    assert.equal(count(), 1);
    assert.deepEqual(progress.at(-1), [0.4, 0.4], "in megabytes");
    assert.deepEqual(await namesIn(options.folder), [NAME], "no temporary file is left");
  });
});

Deno.test("loadKerasFile() is right when two want the file at the same time", async () => {
  await withServer(whole, async ({ folder, baseUrl }) => {
    const load = () => loadKerasFile(FILE, SPECS, { folder, baseUrl });
    (await Promise.all([load(), load()])).forEach(isRight);
    assert.deepEqual(await namesIn(folder), [NAME]);
  });
});

for (
  const [what, answer, message] of [
    ["breaks off", broken, /the connection failed/],
    ["sends something else", () => new Response("else"), /what the server sent is not that file/],
    ["sends a page", () => new Response("", { headers: HTML }), /a web page came instead/],
    ["refuses", () => new Response("", { status: 404 }), /the server answered 404 Not Found/],
  ] as const
) {
  Deno.test(`loadKerasFile() leaves nothing behind where the server ${what}`, () =>
    withServer(answer, async ({ folder, baseUrl }) => {
      const refused = { name: WeightsMissingError.name, message };
      await assert.rejects(loadKerasFile(FILE, SPECS, { folder, baseUrl }), refused);
      assert.deepEqual(await namesIn(folder), []);
    }));
}

Deno.test("loadKerasFile() gives up soon on a server that does not answer", async () => {
  const { promise, resolve } = Promise.withResolvers<Response>();
  const start = performance.now();
  await withServer(() => promise, async ({ folder, baseUrl }) => {
    await assert.rejects(
      loadKerasFile(FILE, SPECS, { folder, baseUrl, waitSeconds: 0.2 }),
      /the server did not answer for 0.2 s/,
    );
    assert.ok(performance.now() - start < 2500);
    resolve(whole());
  });
});

Deno.test("loadKerasFile() says without a network what to put where, and what else there is", () =>
  inFolder(async (folder) => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    listener.close(); // nothing listens there now
    const baseUrl = `http://127.0.0.1:${port}/`;
    await assert.rejects(loadKerasFile(FILE, SPECS, { folder, baseUrl }), (error) => {
      assert.ok(error instanceof WeightsMissingError);
      const ways = [folder, NAME, FILE.md5, "efficientnet_lite0", '"random"', "HTTPS_PROXY"];
      for (const part of ways) assert.ok(error.message.includes(part), error.message);
      return true;
    });
  }));

Deno.test("loadKerasFile() leaves a wrong file of a person alone and says so", async () => {
  await withServer(whole, async ({ folder, baseUrl, count }) => {
    const path = join(folder, NAME);
    await Deno.writeTextFile(path, "mine");
    const refused = { name: ModelError.name, message: /is not the official file/ };
    await assert.rejects(loadKerasFile(FILE, SPECS, { folder, baseUrl }), refused);
    assert.equal(await Deno.readTextFile(path), "mine");
    assert.equal(count(), 0);
  });
});

Deno.test("loadKerasFile() goes through the proxy of the environment, except for NO_PROXY", async () => {
  await withServer(whole, async ({ folder, baseUrl, count }) => {
    const module = new URL("../../lib/model/imagenet.ts", import.meta.url).href;
    const load = async (name: string, NO_PROXY: string) => {
      const options = { folder: join(folder, name), baseUrl: "http://weights.invalid/" };
      const code = `import { loadKerasFile } from "${module}";
        await loadKerasFile(${JSON.stringify(FILE)}, [], ${JSON.stringify(options)})`;
      const env = { HTTP_PROXY: baseUrl, http_proxy: baseUrl, NO_PROXY, no_proxy: NO_PROXY };
      const args = ["eval", code];
      return (await new Deno.Command(Deno.execPath(), { args, env, stderr: "null" }).output()).code;
    };
    assert.equal(await load("a", ""), 0);
    assert.deepEqual(await Deno.readFile(join(folder, "a", NAME)), content);
    assert.equal(count(), 1);
    assert.notEqual(await load("b", "weights.invalid"), 0);
    assert.equal(count(), 1);
  });
});

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import h5wasm from "h5wasm/node";
import { ModelError, WeightsMissingError } from "../../lib/core/errors.ts";
import { exists } from "../../lib/core/files.ts";
import type { WeightSpec } from "../../lib/model/graph.ts";
import { loadKerasFile } from "../../lib/model/imagenet.ts";

const SPECS: WeightSpec[] = [{ name: "conv/kernel", layer: "conv", shape: [100, 1000] }];

const VALUES = Float32Array.from({ length: 100_000 }, (_, i) => i / 7);

const NAME = "weights.h5";

const content = await officialFile();

const FILE = { name: NAME, md5: createHash("md5").update(content).digest("hex") };

/** A small file in the layout of Keras' official ones. */
async function officialFile(): Promise<Uint8Array> {
  await h5wasm.ready;
  const path = await Deno.makeTempFile({ suffix: ".h5" });
  const file = new h5wasm.File(path, "w");
  file.create_attribute("layer_names", ["conv"]);
  const group = file.create_group("conv");
  group.create_attribute("weight_names", ["conv/kernel:0"]);
  group.create_group("conv").create_dataset({
    name: "kernel:0",
    data: VALUES,
    shape: [100, 1000],
    dtype: "<f4",
  });
  file.close();
  const bytes = await Deno.readFile(path);
  await Deno.remove(path);
  return bytes;
}

/** What the server does with one request, given the first byte that is asked for. */
type Answer = (start: number, request: Request) => Response | Promise<Response>;

const whole: Answer = () => new Response(content.slice());

const ranged: Answer = (start) =>
  start === 0
    ? new Response(content.slice())
    : start >= content.length
    ? new Response(null, { status: 416, headers: { "content-range": `bytes */${content.length}` } })
    : partial(start, content.slice(start));

function partial(start: number, body: BodyInit): Response {
  const range = `bytes ${start}-${content.length - 1}/${content.length}`;
  return new Response(body, {
    status: 206,
    headers: { "content-range": range, "content-length": String(content.length - start) },
  });
}

/** Sends some bytes of the rest, then breaks the connection. */
const broken = (bytes: number): Answer => (start) => {
  const pieces = [content.slice(start, start + bytes)];
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = pieces.shift();
      if (piece) controller.enqueue(piece);
      else setTimeout(() => controller.error(new Error("broken on purpose")), 50);
    },
  });
  return start === 0
    ? new Response(body, { headers: { "content-length": String(content.length) } })
    : partial(start, body);
};

/** Runs a server that gives these answers in turn, the last one for ever, and an empty folder. */
async function withServer(
  answers: Answer[],
  use: (context: { folder: string; baseUrl: string; starts: number[] }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const starts: number[] = [];
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
    onError: () => new Response(null, { status: 500 }),
  }, (request) => {
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
    const answer = answers[Math.min(starts.length, answers.length - 1)]!;
    starts.push(start);
    return answer(start, request);
  });
  try {
    await use({ folder, baseUrl: `http://127.0.0.1:${server.addr.port}/`, starts });
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
}

function isRight({ values, sha256 }: Awaited<ReturnType<typeof loadKerasFile>>): void {
  assert.deepEqual(values.get("conv/kernel"), VALUES);
  assert.equal(sha256, createHash("sha256").update(content).digest("hex"));
}

Deno.test("loadKerasFile() fetches a file once and tells how far it is", async () => {
  await withServer([whole], async ({ folder, baseUrl, starts }) => {
    const progress: number[][] = [];
    const options = {
      folder: join(folder, "not", "there", "yet"),
      baseUrl,
      onProgress: (done: number, total: number) => progress.push([done, total]),
    };
    isRight(await loadKerasFile(FILE, SPECS, options));
    isRight(await loadKerasFile(FILE, SPECS, options));
    assert.deepEqual(starts, [0]);
    assert.deepEqual(progress.at(-1), [0.4, 0.4], "in megabytes");
    const names = (await Array.fromAsync(Deno.readDir(options.folder))).map(({ name }) => name);
    assert.deepEqual(names, [NAME], "no part is left");
  });
});

Deno.test("loadKerasFile() goes on at once where a connection broke, and never has half a file", async () => {
  await withServer([broken(100_000), broken(50_000), ranged], async (context) => {
    const { folder, baseUrl, starts } = context;
    isRight(await loadKerasFile(FILE, SPECS, { folder, baseUrl }));
    const [first, second = 0, third = 0] = starts;
    assert.equal(first, 0);
    assert.ok(0 < second && second < third && third <= 150_000, `began at ${starts}`);
  });
});

Deno.test("loadKerasFile() goes on where an earlier call was interrupted", async () => {
  await withServer([ranged], async ({ folder, baseUrl, starts }) => {
    await Deno.writeFile(join(folder, `${NAME}.part`), content.slice(0, 123_456));
    isRight(await loadKerasFile(FILE, SPECS, { folder, baseUrl }));
    assert.deepEqual(starts, [123_456]);
  });
  await withServer([ranged], async ({ folder, baseUrl, starts }) => {
    await Deno.writeFile(join(folder, `${NAME}.part`), content); // killed just before the rename
    isRight(await loadKerasFile(FILE, SPECS, { folder, baseUrl }));
    assert.deepEqual(starts, [content.length]);
  });
});

Deno.test("loadKerasFile() begins anew when a part is of something else or the server cannot resume", async () => {
  for (const answers of [[ranged], [whole]]) {
    for (const bytes of [1000, content.length + 5]) {
      await withServer(answers, async ({ folder, baseUrl }) => {
        await Deno.writeFile(join(folder, `${NAME}.part`), new Uint8Array(bytes));
        isRight(await loadKerasFile(FILE, SPECS, { folder, baseUrl }));
      });
    }
  }
});

async function misses(
  answers: Answer[],
  message: RegExp,
  options: { connectSeconds?: number } = {},
): Promise<void> {
  await withServer(answers, async ({ folder, baseUrl }) => {
    await assert.rejects(loadKerasFile(FILE, SPECS, { folder, baseUrl, ...options }), (error) => {
      assert.ok(error instanceof WeightsMissingError, String(error));
      assert.match(error.message, message);
      return true;
    });
    assert.ok(!await exists(join(folder, NAME)), "never half there");
  });
}

Deno.test("loadKerasFile() refuses what is not the file, whatever the server says", async () => {
  await misses([() => new Response(new Uint8Array(1000))], /what the server sent is not that file/);
  const page = { headers: { "content-type": "text/html; charset=utf-8" } };
  await misses([() => new Response("<html>", page)], /a web page came instead/);
  await misses([() => new Response("gone", { status: 404 })], /the server answered 404 Not Found/);
  await misses([() => new Response("no", { status: 407 })], /the server answered 407/);
});

Deno.test("loadKerasFile() gives up soon on a server that does not answer", async () => {
  const timers: ReturnType<typeof setTimeout>[] = [];
  const slow: Answer = () =>
    new Promise((resolve) => timers.push(setTimeout(() => resolve(new Response("late")), 3000)));
  const start = performance.now();
  await misses([slow], /the server did not answer for 0.2 s/, { connectSeconds: 0.2 });
  assert.ok(performance.now() - start < 10_000);
  timers.forEach(clearTimeout);
});

Deno.test("loadKerasFile() says without a network what to put where, and what else there is", async () => {
  const folder = await Deno.makeTempDir();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close(); // nothing listens there now
  const baseUrl = `http://127.0.0.1:${port}/`;
  await assert.rejects(loadKerasFile(FILE, SPECS, { folder, baseUrl }), (error) => {
    assert.ok(error instanceof WeightsMissingError);
    for (
      const part of [
        folder,
        NAME,
        FILE.md5,
        "efficientnet_lite0",
        '"random"',
        "path",
        "HTTPS_PROXY",
      ]
    ) {
      assert.ok(error.message.includes(part), `${part} in: ${error.message}`);
    }
    return true;
  });
  await Deno.remove(folder, { recursive: true });
});

Deno.test("loadKerasFile() leaves a wrong file of a person alone and says so", async () => {
  await withServer([whole], async ({ folder, baseUrl, starts }) => {
    const path = join(folder, NAME);
    await Deno.writeTextFile(path, "mine");
    await assert.rejects(loadKerasFile(FILE, SPECS, { folder, baseUrl }), (error) => {
      assert.ok(error instanceof ModelError && !(error instanceof WeightsMissingError));
      assert.match(error.message, /is not the official file/);
      return true;
    });
    assert.equal(await Deno.readTextFile(path), "mine");
    assert.deepEqual(starts, []);
  });
});

Deno.test("loadKerasFile() fetches a file once when two want it at the same time", async () => {
  await withServer([broken(100_000), ranged], async ({ folder, baseUrl, starts }) => {
    const both = await Promise.all(
      [1, 2].map(() => loadKerasFile(FILE, SPECS, { folder, baseUrl })),
    );
    both.forEach(isRight);
    assert.equal(starts.length, 2, "one broken connection and one that went on");
  });
});

Deno.test("download() goes through the proxy of the environment, except for NO_PROXY", async () => {
  await withServer([whole], async ({ folder, baseUrl, starts }) => {
    const module = new URL("../../lib/model/imagenet.ts", import.meta.url).href;
    const fetchInto = async (path: string, env: Record<string, string>) => {
      const wanted = { url: "http://weights.invalid/weights.h5", path, md5: FILE.md5 };
      const { code } = await new Deno.Command(Deno.execPath(), {
        args: [
          "eval",
          `import { download } from "${module}"; await download(${JSON.stringify(wanted)})`,
        ],
        env,
        stderr: "null",
      }).output();
      return code;
    };
    const env = { HTTP_PROXY: baseUrl, http_proxy: baseUrl };
    assert.equal(await fetchInto(join(folder, "a"), { ...env, NO_PROXY: "", no_proxy: "" }), 0);
    assert.deepEqual(await Deno.readFile(join(folder, "a")), content);
    assert.equal(starts.length, 1);
    const direct = { ...env, NO_PROXY: "weights.invalid", no_proxy: "weights.invalid" };
    assert.notEqual(await fetchInto(join(folder, "b"), direct), 0);
    assert.equal(starts.length, 1);
  });
});

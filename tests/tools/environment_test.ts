import assert from "node:assert/strict";
import { SetupError } from "../../lib/core/errors.ts";
import { venvFolder, venvPython } from "../../lib/core/python.ts";
import { compileArguments } from "../../tools/binding.ts";
import { kernelSpec } from "../../tools/setup.ts";
import {
  findPython,
  probePython,
  type Python,
  tensorflowRequirement,
  uvEnvironment,
} from "../../tools/venv.ts";

/** A machine on which `installed` are the Pythons. */
const machine = (installed: Record<string, Python["version"]>) => (command: string) => {
  const version = installed[command];
  return Promise.resolve(version ? { executable: `/usr/bin/${command}`, version } : null);
};

Deno.test("findPython() takes the first of 3.11 to 3.13", async () => {
  const cases: [Record<string, Python["version"]>, string][] = [
    [{ python3: [3, 14], python: [2, 12], "python3.12": [3, 12] }, "python3.12"],
    [{ python3: [3, 10], python: [3, 13] }, "python"],
    [{ python3: [3, 11], python: [3, 12] }, "python3"],
  ];
  for (const [installed, expected] of cases) {
    assert.equal((await findPython(machine(installed))).executable, `/usr/bin/${expected}`);
  }
});

Deno.test("findPython() says what it found instead", async () => {
  await assert.rejects(findPython(machine({})), SetupError);
  await assert.rejects(findPython(machine({ python3: [3, 9] })), /python3 is 3\.9/);
});

Deno.test("probePython() tells a Python from anything else", async () => {
  assert.equal((await probePython(venvPython))?.version[0], 3);
  assert.equal(await probePython("echo"), null);
  assert.equal(await probePython("/no/such/python"), null);
});

Deno.test("tensorflowRequirement() fits the machine", () => {
  const x64 = { os: "linux", arch: "x86_64", hasGpu: false };
  assert.match(tensorflowRequirement(x64), /^tensorflow-cpu==\d/);
  assert.match(tensorflowRequirement({ ...x64, hasGpu: true }), /^tensorflow\[and-cuda\]==\d/);
  assert.match(tensorflowRequirement({ ...x64, arch: "aarch64" }), /^tensorflow==\d/);
  assert.match(tensorflowRequirement({ ...x64, os: "darwin" }), /^tensorflow==\d/);
});

Deno.test("uvEnvironment() makes uv download from where pip would", () => {
  const config = [
    ":env:.index-url='https://mirror/simple'",
    "global.cert='/etc/ca.crt'",
    "global.index-url='https://elsewhere/simple'",
    "global.extra-index-url='https://a/simple\\nhttps://b/simple'",
    "install.find-links='/wheels /more'",
    "global.timeout='60'",
  ].join("\n");
  assert.deepEqual(uvEnvironment(config, { UV_INDEX: "https://mine", HOME: "/home/me" }), {
    UV_INDEX_STRATEGY: "unsafe-best-match",
    UV_DEFAULT_INDEX: "https://mirror/simple",
    UV_INDEX: "https://mine",
    UV_FIND_LINKS: "/wheels,/more",
    SSL_CERT_FILE: "/etc/ca.crt",
    HOME: "/home/me",
  });
});

Deno.test("compileArguments() links the wheel's libraries and finds them again at run time", () => {
  const paths = { sources: ["b.cc"], nodeHeaders: "/h", tensorflow: "/wheel", output: "out.node" };
  const args = compileArguments(paths, "linux");
  assert.ok(args.includes("-Wl,-rpath,/wheel"));
  // Libraries must come after what needs them.
  assert.ok(args.indexOf("b.cc") < args.indexOf("/wheel/libtensorflow_cc.so.2"));
});

Deno.test("kernelSpec() starts the Deno of the .venv, not one in a cache", () => {
  const { argv } = kernelSpec(venvFolder);
  assert.equal(argv[0], `${venvFolder}/bin/deno`);
  assert.ok(argv.includes("{connection_file}"));
});

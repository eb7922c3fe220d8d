import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { ModelError, WeightsMissingError } from "../core/errors.ts";
import { exists, writeAll } from "../core/files.ts";
import { projectRoot } from "../core/paths.ts";
import type { OnProgress } from "../core/stop.ts";
import type { WeightSpec } from "./graph.ts";
import { readKerasH5 } from "./keras_read.ts";

/** Folder of the official weights that a person or a download put there. */
export const pretrainedFolder: string = join(projectRoot, "model", "pretrained");

/** Where Keras keeps the official weights of its ResNets (`keras.applications.resnet`). */
const KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/";

/** One official file of Keras' applications. */
interface KerasFile {
  name: string;
  /** Of its content, in hexadecimal, as Keras publishes it. */
  md5: string;
}

/**
 * Reads an official weights file from model/pretrained/, where it is fetched to when it is needed
 * for the first time.
 *
 * @param options.folder Instead of model/pretrained/.
 * @param options.baseUrl Instead of Keras' own place; with a slash at its end.
 * @param options.connectSeconds See `download`.
 * @throws {WeightsMissingError} When it is not there and cannot be fetched.
 * @throws {ModelError} When it is there and its content is not the published one.
 */
export async function loadKerasFile(
  file: KerasFile,
  specs: readonly WeightSpec[],
  options: {
    folder?: string;
    baseUrl?: string;
    connectSeconds?: number;
    onProgress?: OnProgress | undefined;
  } = {},
): Promise<{ values: Map<string, Float32Array>; sha256: string }> {
  const { folder = pretrainedFolder, baseUrl = KERAS_URL, connectSeconds, onProgress } = options;
  const path = join(folder, file.name);
  if (!await exists(path)) {
    try {
      await download({
        url: baseUrl + file.name,
        path,
        md5: file.md5,
        ...(connectSeconds === undefined ? {} : { connectSeconds }),
        ...(onProgress ? { onProgress } : {}),
      });
    } catch (error) {
      if (!(error instanceof DownloadError)) throw error;
      throw missing(file, folder, baseUrl, error);
    }
  }
  const bytes = await Deno.readFile(path);
  if (createHash("md5").update(bytes).digest("hex") !== file.md5) {
    throw new ModelError(
      `${path} is not the official file: its MD5 is not ${file.md5}.`,
      "Delete it, and it is fetched again; or put the right file there.",
    );
  }
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { values: await readKerasH5(path, { required: specs }), sha256 };
}

function missing(
  { name, md5 }: KerasFile,
  folder: string,
  baseUrl: string,
  cause: DownloadError,
): WeightsMissingError {
  return new WeightsMissingError(
    `The ImageNet weights ${name} are not in ${folder}, and could not be fetched from ` +
      `${baseUrl + name}, because ${cause.message}.`,
    [
      "Check the network (behind a proxy, HTTPS_PROXY must name it) and run again; what has been " +
      "fetched is kept. Or choose one of these:",
      `- fetch that address on another computer, and put ${name} (MD5 ${md5}) into ${folder};`,
      `- model.backbone: "efficientnet_lite0", whose ImageNet weights are installed with the project;`,
      `- model.weights: the path of a Keras file or of a model folder with weights of this backbone;`,
      `- model.weights: "random", which needs far more images for a far worse model.`,
    ].join("\n  "),
    { cause },
  );
}

/** A file that is to be fetched. */
interface Download {
  url: string;
  /** Where it goes when it is whole; until then it grows beside it, as `path.part`. */
  path: string;
  /** MD5 of its content, in hexadecimal. */
  md5: string;
  /** In megabytes. */
  onProgress?: OnProgress;
  /** Seconds until the server must have begun to answer. */
  connectSeconds?: number;
  /** Seconds without a byte after which a connection counts as lost. */
  stallSeconds?: number;
}

/** A file could not be fetched: the message says why, in words that complete "because ...". */
class DownloadError extends Error {
  override name = "DownloadError";
}

/** A connection that was lost is taken up again this often before giving up. */
const MAX_RESUMES = 5;

/** Nothing that is fetched here comes near this. */
const MAX_BYTES = 1 << 30;

/**
 * Fetches a file, through the proxy that `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name where they
 * do. What an interrupted call has fetched stays in `path.part`, and the next call goes on from
 * there. `path` appears only when its content is whole and its MD5 is right. Two processes may want
 * the same file: the second waits for the first.
 *
 * @throws {DownloadError} When the server cannot be reached, refuses, or sends something else.
 * @throws The file system's own error (disk full, no permission).
 */
async function download(wanted: Download): Promise<void> {
  await Deno.mkdir(dirname(wanted.path), { recursive: true });
  const part = `${wanted.path}.part`;
  using file = await Deno.open(part, { read: true, write: true, create: true });
  await file.lock(true).catch(() => {}); // some network drives have no locks; the MD5 tells anyway
  if (await exists(wanted.path)) return; // another process was faster
  const isContinued = (await file.stat()).size > 0;
  const isRight = await fetchWhole(wanted, file) ||
    isContinued && await fetchWhole(wanted, file); // the part may have been of something else
  if (!isRight) throw new DownloadError("what the server sent is not that file");
  await file.sync();
  await Deno.rename(part, wanted.path);
}

/** Fetches until nothing is missing; whether the content is right. What is wrong is not kept. */
async function fetchWhole(wanted: Download, file: Deno.FsFile): Promise<boolean> {
  for (let resumes = 0;; resumes++) {
    const before = (await file.stat()).size;
    try {
      await fetchRest(wanted, file, before);
      break;
    } catch (error) {
      const isStuck = (await file.stat()).size === before;
      if (!(error instanceof DownloadError) || isStuck || resumes === MAX_RESUMES) throw error;
    }
  }
  const isRight = await md5Of(file) === wanted.md5;
  if (!isRight) await file.truncate(0);
  return isRight;
}

/** Fetches what is missing behind the first `have` bytes; all of it where the server cannot resume. */
async function fetchRest(wanted: Download, file: Deno.FsFile, have: number): Promise<void> {
  const { url, onProgress, connectSeconds = 15, stallSeconds = 30 } = wanted;
  const patience = createPatience();
  try {
    patience.expectWithin(connectSeconds);
    const response = await fetch(url, {
      headers: {
        "accept-encoding": "identity", // ranges count the bytes of the file itself
        ...(have > 0 ? { range: `bytes=${have}-` } : {}),
      },
      signal: patience.signal,
    }).catch((cause) => {
      throw lost(cause, connectSeconds);
    });
    if (response.status === 416) {
      const isWhole = response.headers.get("content-range") === `bytes */${have}`;
      return isWhole ? undefined : await beginAnew(file);
    }
    const start = answeredStart(response, have);
    const length = Number(response.headers.get("content-length") ?? NaN);
    const total = Number.isFinite(length) ? start + length : NaN;
    await file.truncate(start);
    await file.seek(start, Deno.SeekMode.Start);
    let done = start;
    const reader = response.body!.getReader();
    for (;;) {
      patience.expectWithin(stallSeconds);
      const { done: ended, value } = await reader.read().catch((cause) => {
        throw lost(cause, stallSeconds);
      });
      if (ended) break;
      done += value.length;
      if (done > MAX_BYTES) throw new DownloadError("the server sends far more than that file");
      await writeAll(file, value);
      if (total > 0) {
        onProgress?.(megabytes(done), megabytes(total), `MB of ${basename(wanted.path)}`);
      }
    }
    if (done < total) throw new DownloadError("the connection was lost");
  } finally {
    patience.end();
  }
}

/** Where the body of an answer begins in the file. */
function answeredStart({ status, statusText, headers }: Response, have: number): number {
  const isPage = headers.get("content-type")?.startsWith("text/html") ?? false;
  if (status >= 200 && status < 300 && isPage) {
    throw new DownloadError("a web page came instead (the log-in page of the network?)");
  }
  const range = headers.get("content-range") ?? "";
  if (status === 206 && range.startsWith(`bytes ${have}-`)) return have;
  if (status === 200) return 0; // this server cannot resume
  throw new DownloadError(`the server answered ${status} ${statusText}`.trimEnd());
}

/** Drops what is longer than the file itself, and so cannot be a part of it. */
async function beginAnew(file: Deno.FsFile): Promise<never> {
  await file.truncate(0);
  throw new DownloadError("the server cannot go on where an earlier download stopped");
}

/** A signal that aborts when what is expected next takes too long. */
function createPatience(): {
  signal: AbortSignal;
  expectWithin: (seconds: number) => void;
  end: () => void;
} {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    signal: controller.signal,
    expectWithin: (seconds) => {
      clearTimeout(timer);
      timer = setTimeout(() => controller.abort(), 1000 * seconds);
    },
    end: () => {
      clearTimeout(timer);
      controller.abort(); // what is still open of a failed answer
    },
  };
}

function lost(error: unknown, seconds: number): DownloadError {
  if (error instanceof DOMException && error.name === "AbortError") {
    return new DownloadError(`the server did not answer for ${seconds} s`, { cause: error });
  }
  let root = error;
  while (root instanceof Error && root.cause instanceof Error) root = root.cause; // "fetch failed"
  const message = root instanceof Error ? root.message : String(root);
  const reason = message.replace(/^error sending request for url \(\S+\): /, "");
  return new DownloadError(`there is no connection to it (${reason})`, { cause: error });
}

async function md5Of(file: Deno.FsFile): Promise<string> {
  const hash = createHash("md5");
  const buffer = new Uint8Array(1 << 20);
  await file.seek(0, Deno.SeekMode.Start);
  for (let read = await file.read(buffer); read !== null; read = await file.read(buffer)) {
    hash.update(buffer.subarray(0, read));
  }
  return hash.digest("hex");
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e5) / 10;
}

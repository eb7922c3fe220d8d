/** Whether the operating system refused something. Deno gives a code to some of its errors only. */
export function isFileSystemError(error: unknown): boolean {
  return error instanceof Error && ("code" in error || /\(os error \d+\)/.test(error.message));
}

/** Lets progress, messages and signals through between two pieces of work that block the thread. */
export function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

/** Takes from root what lets it read everything; of other people nothing must be taken. */
const DROP = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"];

/**
 * What to put before a command so that it is bound by the permissions of files, which root is not;
 * `null` where that cannot be had.
 */
export const boundByPermissions: readonly string[] | null = await find();

async function find(): Promise<readonly string[] | null> {
  if (Deno.build.os === "windows") return null;
  if (Deno.uid() !== 0) return [];
  const [command, ...options] = DROP;
  try {
    const args = [...options, "true"];
    return (await new Deno.Command(command!, { args, stderr: "null" }).output()).success
      ? DROP
      : null;
  } catch {
    return null; // no setpriv here
  }
}

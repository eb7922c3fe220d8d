/** Takes from root what lets it read everything; of other people nothing must be taken. */
const DROP = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"];

/**
 * What to put before a command so that it is bound by the permissions of files, which root is not;
 * `null` where that is not possible.
 */
export const boundByPermissions: readonly string[] | null = await find();

async function find(): Promise<readonly string[] | null> {
  if (Deno.build.os === "windows") return null;
  if (Deno.uid() !== 0) return [];
  const [command, ...options] = DROP;
  const works = new Deno.Command(command!, { args: [...options, "true"], stderr: "null" }).output()
    .then(({ success }) => success, () => false); // no setpriv here
  return await works ? DROP : null;
}

import { TrainingError } from "../errors.ts";
import { latestCheckpoint } from "./checkpoint.ts";

/**
 * Makes sure that no interrupted training of other settings or data is about to be lost. One that had
 * come to its end is not: its best model and its history are there.
 *
 * @param folder Of checkpoints.
 * @param fingerprint Of the training that is about to start: a JSON object.
 * @throws {TrainingError} Saying what differs, and how to continue or discard it.
 */
export async function requireNoOther(folder: string, fingerprint: string): Promise<void> {
  const other = await latestCheckpoint(folder);
  if (!other || other.fingerprint === fingerprint || other.state.over) return;
  const { epoch, partial } = other.state;
  const place = `epoch ${epoch + (partial ? 1 : 0)}`;
  const lines = differences(other.fingerprint, fingerprint);
  throw new TrainingError(
    `There is an interrupted training of this run, saved in ${place}, that was made with other ` +
      `settings or data:\n  - ${lines.join("\n  - ")}`,
    "To continue it, put these back as they were. To discard it, set training.startAnew to true. " +
      'To keep it and train beside it, give this training another name ("run").',
  );
}

/** What differs between two fingerprints, a line a field. */
function differences(before: string, now: string): string[] {
  const [a, b] = [fieldsOf(before), fieldsOf(now)];
  const lines = [...new Set([...a.keys(), ...b.keys()])]
    .filter((field) => a.get(field) !== b.get(field))
    .map((field) => `${field} was ${a.get(field) ?? "not there"}, is ${b.get(field) ?? "gone"}`);
  return lines.length > 0 ? lines : ["it is of another version of this project"];
}

/** Leaves of a JSON object by dotted path, as JSON; none where it is no object. */
function fieldsOf(json: string): Map<string, string> {
  const fields = new Map<string, string>();
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      fields.set(path, JSON.stringify(value));
      return;
    }
    for (const [key, child] of Object.entries(value)) visit(child, path ? `${path}.${key}` : key);
  };
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === "object" && value !== null) visit(value, "");
  } catch {
    // of a version that wrote something else
  }
  return fields;
}

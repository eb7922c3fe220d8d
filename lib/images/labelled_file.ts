/** An image file to learn from or to score. */
export interface LabelledFile {
  /** Absolute path. */
  path: string;
  /** Class index. */
  label: number;
  /** SHA-256 of the file's content, in hexadecimal; where given, other content is an error. */
  sha256?: string;
}

/** Widths of Helvetica and Arial in thousandths of the font size, where they differ from 556. */
const WIDTHS: Record<string, number> = {
  ...each("ijl'|", 222),
  ...each(" tfI.,:;!/[]()-·", 300),
  ...each("rJ", 400),
  ...each("szckvxy", 500),
  ...each("ABEKPSVXY&", 667),
  ...each("CDHNRUTFGLOQZ", 730),
  ...each("mMW%@", 890),
  w: 722,
};

function each(characters: string, width: number): Record<string, number> {
  return Object.fromEntries([...characters].map((character) => [character, width]));
}

/** Width of a text in pixels at a font size, to a few per cent: SVG cannot measure by itself. */
export function textWidth(text: string, fontSize: number): number {
  let width = 0;
  for (const character of text) {
    width += WIDTHS[character] ?? (character > "\u2e7f" ? 1000 : 556);
  }
  return width * fontSize / 1000;
}

/** The text, or as much of its start and end as fits, with "…" between. */
export function shorten(text: string, maxWidth: number, fontSize: number): string {
  if (textWidth(text, fontSize) <= maxWidth) return text;
  const characters = [...text];
  let kept = characters.length;
  let short = text;
  while (kept > 1 && textWidth(short, fontSize) > maxWidth) {
    kept--;
    short = characters.slice(0, Math.ceil(kept / 2)).join("") + "…" +
      characters.slice(characters.length - Math.floor(kept / 2)).join("");
  }
  return short;
}

/** The text broken between words into lines that fit; a word that is too long is shortened. */
export function wrap(text: string, maxWidth: number, fontSize: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const extended = lines.length === 0 ? word : `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && textWidth(extended, fontSize) <= maxWidth) {
      lines[lines.length - 1] = extended;
    } else lines.push(shorten(word, maxWidth, fontSize));
  }
  return lines;
}

import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { imageGrid } from "../../lib/show/pictures.ts";

const background = { r: 200, g: 0, b: 150, alpha: 0.5 };

Deno.test("imageGrid() embeds small pictures, and says which cannot be read", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const good = join(folder, "<b>.png");
    const png = await sharp({ create: { width: 700, height: 350, channels: 4, background } }).png()
      .toBuffer();
    await Deno.writeFile(good, png);
    await Deno.writeFile(join(folder, "truncated.png"), png.subarray(0, png.length / 2));
    await Deno.writeTextFile(join(folder, "text.png"), "no image");
    await Deno.writeTextFile(join(folder, "empty.png"), "");
    const { html, text } = await imageGrid([
      { path: good, caption: "<script>" },
      ...["truncated.png", "text.png", "empty.png", "missing.png"].map((name) => ({
        path: join(folder, name),
        caption: name,
      })),
    ], { title: "A & B", columns: 2 });
    assert.doesNotMatch(html, /<script>|<b>/);
    assert.equal(html.match(/cannot be read/g)?.length, 4);
    assert.equal(html.match(/<tr/g)?.length, 3);
    assert.equal(text, "A & B: 5 images");
    const [, encoded] = /data:image\/jpeg;base64,([^"]+)" width="140" height="70"/.exec(html)!;
    const jpeg = await sharp(Uint8Array.fromBase64(encoded!)).stats();
    const means = jpeg.channels.map((channel) => Math.round(channel.mean));
    // half transparent over white
    [228, 128, 203].forEach((value, i) => assert.ok(Math.abs(means[i]! - value) < 4, `${means}`));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("imageGrid() shows at most 100 images and says how many more there are", async () => {
  const items = Array.from({ length: 130 }, (_, i) => ({ path: "/nowhere", caption: String(i) }));
  const { html } = await imageGrid(items);
  assert.equal(html.match(/<td/g)?.length, 100);
  assert.match(html, /and 30 more images/);
});

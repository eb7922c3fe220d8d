import assert from "node:assert/strict";
import sharp from "sharp";
import { groupShares } from "../../lib/evaluation/shares.ts";
import { groupSharesChart, groupSharesTable } from "../../lib/show/group_charts.ts";

const known = { truePositives: 57, falseNegatives: 3, trueNegatives: 85, falsePositives: 5 };

const hostile = `<script>alert("1")</script>&\u0007`;

const sharesOf = (groups: number) =>
  groupShares(
    Array.from({ length: groups }, (_, i) => ({
      group: i === 0 ? hostile : i === 1 ? "" : `slide ${i}`,
      n: 10 + i % 30,
      positive: i % 11,
      uncorrected: i % 11,
    })),
    known,
  );

const chartOf = (groups: number) =>
  groupSharesChart({ shares: sharesOf(groups), positive: "globally_sclerotic", run: "trial" });

Deno.test("groupSharesChart() names up to 40 groups, draws up to 600, and is whole for none", async () => {
  for (const groups of [0, 1, 2, 40, 41, 2000]) {
    const { svg, text } = chartOf(groups);
    assert.doesNotMatch(svg, /NaN|undefined|<script/);
    const { data, info } = await sharp(new TextEncoder().encode(svg)).raw()
      .toBuffer({ resolveWithObject: true });
    assert.ok(info.width <= 720 && info.height < 900 && data.some((value) => value < 60));
    assert.match(text, new RegExp(`Run trial · n = .* in ${groups.toLocaleString("en-GB")} group`));
    assert.equal(svg.includes("slide 3<"), groups === 40);
    assert.equal(/600 of the groups/.test(text), groups === 2000);
    const dots = svg.split("<circle").length - 1;
    assert.equal(dots, Math.min(groups, 600) + 1); // one in the legend
  }
});

Deno.test("groupSharesChart() says what all images come to, corrected too", () => {
  const shares = groupShares([{ group: "a", n: 50, positive: 11, uncorrected: 11 }], known);
  const { text } = groupSharesChart({ shares, positive: "globally_sclerotic", run: "trial" });
  assert.match(
    text,
    /11 of 50 images called positive, 22\.0 % \(95 % interval 12\.8 % to 35\.2 %\)/,
  );
  assert.match(text, /corrected for the model's errors 18\.4 % \(\d/); // (0.22 - 5/90) / (…)
  assert.match(chartOf(0).text, /There are no images/);
});

Deno.test("groupSharesTable() has all images first and keeps names as text", () => {
  const { html, text } = groupSharesTable(sharesOf(3));
  assert.match(text, /4 rows/);
  assert.doesNotMatch(html, /<script/);
  const cells = [...html.matchAll(/<td[^>]*>([^<]*)</g)].map((match) => match[1]);
  assert.deepEqual(cells.slice(0, 4), ["all images", "33", "3", "9.1 %"]);
  assert.ok(cells.includes("(group not known)"));
});

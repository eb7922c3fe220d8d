import assert from "node:assert/strict";
import { parseConfig } from "../../lib/core/config.ts";
import {
  auditCounts,
  auditPolicies,
  type Finding,
  FINDING_MEANINGS,
  type FindingKind,
  policyOf,
} from "../../lib/run/findings.ts";
import { auditPictures, withoutPicture } from "../../lib/show/pictures.ts";

const { audit } = parseConfig({}).data;

const folder = "/nowhere";

const finding = (kind: FindingKind, path: string, other_path = ""): Finding => ({
  path,
  finding: kind,
  detail: `detail of ${path}`,
  other_path,
});

Deno.test("auditPictures() shows a strip or pairs a kind, but those that are only kept", async () => {
  const findings = [
    finding("unreadable", "a/bad.png"),
    finding("skipped", "a"),
    finding("wrong_extension", "a/w.png"),
    finding("blurred", "a/1.png"),
    finding("too_dark", "a/2.png"),
    finding("duplicate", "a/3.png", "a/1.png"),
    finding("near_duplicate", "a/4.png", "a/1.png"),
  ];
  const figures = await auditPictures({
    folder,
    findings,
    audit: { ...audit, tooDark: "drop", wrongExtension: "keep", nearDuplicate: "keep" },
  });
  assert.deepEqual(figures.map(({ text }) => text), [
    "blurred · far less sharp than the other images · used · 1 image: 1 images",
    "too dark · nearly black · left out · 1 image: 1 images",
    "duplicate · the same bytes as another image of its class · left out · 1 pair",
  ]);
  assert.match(figures[0]!.html, /detail of a\/1\.png a\/1\.png/);
  assert.deepEqual(withoutPicture(findings), findings.slice(0, 2));
});

Deno.test("auditPictures() shows a pair that is named in both directions once", async () => {
  const [pairs] = await auditPictures({
    folder,
    findings: [
      finding("conflicting_labels", "a/1.png", "b/1.png"),
      finding("conflicting_labels", "b/1.png", "a/1.png"),
    ],
    audit,
  });
  assert.equal(pairs!.html.match(/detail of/g)!.length, 1);
  assert.match(pairs!.html, /detail of a\/1\.png/);
});

Deno.test("auditPictures() shows few of many, from the first to the last, and says so", async () => {
  const many = Array.from({ length: 200 }, (_, i) => finding("blurred", `a/${i}.png`));
  const [strip] = await auditPictures({ folder, findings: many, audit });
  assert.equal(strip!.html.match(/detail of/g)!.length, 10);
  assert.match(strip!.html, /200 images, 10 shown/);
  assert.match(strip!.html, /a\/0\.png/);
  assert.match(strip!.html, /a\/180\.png/);
  const twins = many.map(({ path }) => finding("duplicate", path, "a/x.png"));
  const [pairs] = await auditPictures({ folder, findings: twins, audit });
  assert.equal(pairs!.html.match(/detail of/g)!.length, 6);
  assert.match(pairs!.html, /200 pairs, 6 shown/);
});

Deno.test("auditPictures() takes names for text, never for HTML", async () => {
  const name = `a/<img src=x onerror="alert(1)">.png`;
  const figures = await auditPictures({
    folder,
    findings: [finding("blurred", name), finding("duplicate", name, name)],
    audit,
  });
  for (const { html } of figures) assert.doesNotMatch(html, /<img src=x/);
});

Deno.test("auditPolicies() has a line for every kind, and a policy for every field", () => {
  const table = auditPolicies(audit);
  assert.deepEqual(table.map(({ finding }) => finding), Object.keys(FINDING_MEANINGS));
  for (const field of Object.keys(audit)) {
    const line = table.filter(({ policy }) => policy.startsWith(`data.audit.${field}:`));
    assert.equal(line.length, 1, field);
  }
  assert.equal(policyOf("unreadable", audit), "drop");
  assert.equal(policyOf("near_duplicate", { ...audit, nearDuplicate: "drop" }), "drop");
  assert.equal(policyOf("case_collision", audit), "warn");
});

Deno.test("auditCounts() counts what was found, in the order of the policies", () => {
  const findings = [finding("blurred", "b"), finding("unreadable", "a"), finding("blurred", "a")];
  assert.deepEqual(
    auditCounts(findings, audit).map(({ finding, policy, count }) => [finding, policy, count]),
    [["unreadable", "drop", 1], ["blurred", "warn", 2]],
  );
});

import assert from "node:assert/strict";
import fc from "fast-check";
import { tf } from "../../../lib/core/tensorflow.ts";
import { resizeMap, toHeatMap } from "../../../lib/metrics/grad_cam.ts";

const evidence = fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }))
  .chain(([height, width]) => {
    const length = height * width;
    const value = fc.float({ noNaN: true, noDefaultInfinity: true });
    const values = fc.array(value, { minLength: length, maxLength: length });
    return fc.record({ height: fc.constant(height), width: fc.constant(width), values });
  });

Deno.test("toHeatMap() reaches from 0 to 1, or is 0 everywhere and says so", () => {
  fc.assert(fc.property(evidence, ({ height, width, values }) => {
    const map = toHeatMap(Float32Array.from(values), { height, width });
    assert.ok(map.values.every((value) => value >= 0 && value <= 1));
    assert.equal(Math.max(...map.values), map.isZero ? 0 : 1);
    assert.equal(map.isZero, !values.some((value) => value > 0));
    // what is larger stays so, and what speaks against the class is 0
    assert.ok(values.every((value, i) => value > 0 || map.values[i] === 0));
  }));
});

Deno.test("resizeMap() is TensorFlow's bilinear resize, and stays within the map's own range", () => {
  fc.assert(
    fc.property(evidence, fc.integer({ min: 1, max: 40 }), (drawn, extent) => {
      const map = toHeatMap(Float32Array.from(drawn.values), drawn);
      const [height, width] = [map.height + extent, map.width + 2 * extent];
      const ours = resizeMap(map, height, width);
      const theirs = tf.tidy(() => {
        const image = tf.tensor4d(map.values, [1, map.height, map.width, 1]);
        return tf.image.resizeBilinear(image, [height, width], false, true).dataSync();
      });
      assert.equal(ours.length, theirs.length);
      ours.forEach((value, i) => assert.ok(Math.abs(value - theirs[i]!) < 1e-5));
      const [least, most] = [Math.min(...map.values), Math.max(...map.values)];
      assert.ok(ours.every((value) => value >= least && value <= most));
    }),
    { numRuns: 50 },
  );
});

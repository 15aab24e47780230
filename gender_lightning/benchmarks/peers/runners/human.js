// human's own detector and `faceres`: on the picture, else on the picture with a border.
'use strict';

const path = require('path');
const { createRequire } = require('module');
const { answer } = require('./frames.js');

const own = createRequire(path.join(process.argv[2], 'index.js'));
const home = path.join(process.argv[2], 'node_modules', '@vladmandic', 'human');
const { Human } = require(path.join(home, 'dist', 'human.node-wasm.js')); // which its package.json does not export

const off = { enabled: false };
const human = new Human({
  backend: 'wasm', debug: false, cacheSensitivity: 0, modelBasePath: `file://${home}/models/`,
  wasmPath: `${path.dirname(own.resolve('@tensorflow/tfjs-backend-wasm/package.json'))}/dist/`,
  filter: off, gesture: off, body: off, hand: off, object: off, segmentation: off,
  face: {
    enabled: true, detector: { rotation: true, maxDetected: 5, return: false }, mesh: { enabled: true }, iris: off,
    emotion: off, antispoof: off, liveness: off, description: { enabled: true, minConfidence: 0 },
  },
});

const largest = (faces) => faces.sort((one, other) => other.box[2] * other.box[3] - one.box[2] * one.box[3])[0];

human.load().then(() => answer(async (pictures) => {
  for (const { pixels, height, width } of pictures) {
    const tensor = human.tf.tensor(pixels, [height, width, 3], 'int32');
    const { face } = await human.detect(tensor);
    human.tf.dispose(tensor);
    const one = largest(face.filter((found) => found.gender === 'female' || found.gender === 'male'));
    if (one) return 0.5 + (one.gender === 'male' ? 0.5 : -0.5) * one.genderScore;
  }
  return undefined;
}));

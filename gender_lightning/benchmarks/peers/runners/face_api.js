// face-api's tiny detector and its age-gender network: on the picture, else with a border, else the picture as the face.
'use strict';

const path = require('path');
const { createRequire } = require('module');
const { answer } = require('./frames.js');

const own = createRequire(path.join(process.argv[2], 'index.js'));
const tf = own('@tensorflow/tfjs');
const wasm = own('@tensorflow/tfjs-backend-wasm');
const faceapi = own('@vladmandic/face-api/dist/face-api.node-wasm.js');
const models = path.join(process.argv[2], 'node_modules', '@vladmandic', 'face-api', 'model');

async function ready() {
  wasm.setWasmPaths(`${path.dirname(own.resolve('@tensorflow/tfjs-backend-wasm/package.json'))}/dist/`);
  await tf.setBackend('wasm');
  await tf.ready();
  await faceapi.nets.tinyFaceDetector.loadFromDisk(models);
  await faceapi.nets.ageGenderNet.loadFromDisk(models);
}

const ofMale = ({ gender, genderProbability }) => (gender === 'male' ? genderProbability : 1 - genderProbability);

ready().then(() => answer(async (pictures) => {
  const options = new faceapi.TinyFaceDetectorOptions();
  const tensors = pictures.map(({ pixels, height, width }) => tf.tensor(pixels, [height, width, 3], 'int32'));
  try {
    for (const tensor of tensors) {
      const found = await faceapi.detectAllFaces(tensor, options).withAgeAndGender();
      const area = ({ detection }) => detection.box.width * detection.box.height;
      const one = found.sort((first, second) => area(second) - area(first))[0];
      if (one) return ofMale(one);
    }
    return ofMale(await faceapi.nets.ageGenderNet.predictAgeAndGender(tensors[0]));
  } finally {
    tf.dispose(tensors);
  }
}));

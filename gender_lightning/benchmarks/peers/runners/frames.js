// Pictures come on standard input: a line of JSON {"pictures": [[height, width], ...]}, then the bytes of these pictures
// (RGB). For each such line one line goes to standard output: the probability of male, or nothing where there is no answer.
'use strict';

const fs = require('fs');

// No model is in another place than the package: what is fetched is a file, and the network is never asked.
globalThis.fetch = async (url) => new Response(fs.readFileSync(String(url).replace(/^file:\/\//, '')));
console.log = console.warn = console.info = () => {}; // the answers have standard output for themselves

async function* chunks(sizes) {
  let held = Buffer.alloc(0);
  const input = process.stdin[Symbol.asyncIterator]();
  const more = async () => {
    const { value, done } = await input.next();
    if (!done) held = Buffer.concat([held, value]);
    return !done;
  };
  for (;;) {
    let end;
    while ((end = held.indexOf(10)) < 0) if (!(await more())) return;
    const { pictures } = JSON.parse(held.subarray(0, end).toString());
    held = held.subarray(end + 1);
    const found = [];
    for (const [height, width] of pictures) {
      const bytes = height * width * 3;
      while (held.length < bytes) if (!(await more())) return;
      found.push({ pixels: new Uint8Array(held.subarray(0, bytes)), height, width });
      held = held.subarray(bytes);
    }
    yield found;
  }
}

// `ask(pictures)`: the probability of male, or undefined
exports.answer = async (ask) => {
  for await (const pictures of chunks()) {
    const probability = await ask(pictures);
    process.stdout.write(`${probability === undefined ? '' : probability.toFixed(6)}\n`);
  }
};

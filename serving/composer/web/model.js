// The exported model, run by ONNX Runtime: one step of a sequence a call.

import * as ort from "./runtime/ort.wasm.min.mjs";

// More threads gain nothing for a small network, and would ask for headers of the server.
ort.env.wasm.numThreads = 1;

async function fetched(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error(`${name}: expected a file. Received: HTTP ${response.status}`);
  return response;
}

/** Resolves to the model's card and to its `step`, as `sampling.js` wants it. */
export async function load() {
  const [card, content] = await Promise.all([
    fetched("model.json").then((response) => response.json()),
    fetched("model.onnx").then((response) => response.arrayBuffer()),
  ]);
  const session = await ort.InferenceSession.create(new Uint8Array(content), { logSeverityLevel: 3 });
  const row = (values) => new ort.Tensor("float32", Float32Array.from(values), [1, values.length]);
  const names = Object.keys(card.states);

  async function step(frame, states) {
    const feeds = { frame: row(frame) };
    for (const name of names) {
      feeds[name] = states ? states[`next_${name}`] : row(new Float32Array(card.states[name]));
    }
    const answer = await session.run(feeds);
    return { logits: answer.logits.data, states: answer };
  }
  return { card, step };
}

// What serving/composer/sampling.py and chords.py do, number for number.

import { Generator } from "./random.js";

/**
 * Yields frame after frame: `chord`, zeros and ones of the pitches, and its `nll` in nats under the
 * model as it is. `step(frame, states)` resolves to `{logits, states}`; a first call has no states.
 */
export async function* compose(step, prompt, { frames, temperature, voices, seed }) {
  const generator = new Generator(seed);
  let answer = { states: null };
  for (const frame of prompt) answer = await step(frame, answer.states);
  for (let count = 0; count < frames; count++) {
    const probability = Float64Array.from(answer.logits, (logit) => sigmoid(logit / temperature));
    const chord = draw(probability, voices, generator);
    yield { chord, nll: nll(answer.logits, chord) };
    if (count + 1 < frames) answer = await step(chord, answer.states);
  }
}

function sigmoid(value) {
  const small = Math.exp(-Math.abs(value));
  return (value >= 0 ? 1 : small) / (1 + small);
}

/** Independent notes, given that no more than `most` sound. */
function draw(probability, most, generator) {
  const table = atMost(probability, most);
  const chord = new Uint8Array(probability.length);
  let left = most;
  probability.forEach((p, note) => {
    const number = generator.random();
    if (left > 0 && number * table[note][left] < p * table[note + 1][left - 1]) {
      chord[note] = 1;
      left -= 1;
    }
  });
  return chord;
}

/** S(j, r): how probable it is that at most r of the notes j, j + 1, ... sound. */
function atMost(probability, most) {
  const table = [new Float64Array(most + 1).fill(1)];
  for (const p of probability.toReversed()) {
    const after = table.at(-1);
    table.push(after.map((value, r) => (1 - p) * value + (r ? p * after[r - 1] : 0)));
  }
  return table.reverse();
}

function nll(logits, chord) {
  const signed = Float64Array.from(logits, (logit, note) => (chord[note] ? -logit : logit));
  return signed.reduce((sum, s) => sum + Math.max(0, s) + Math.log1p(Math.exp(-Math.abs(s))), 0);
}

// The page: settings in, music out.

import { Keyboard } from "./keyboard.js";
import { load } from "./model.js";
import { midi } from "./notes.js";
import { PianoRoll } from "./roll.js";
import { compose } from "./sampling.js";
import { play } from "./sound.js";

const [MOST_VOICES, MOST_FRAMES] = [88n, 2000n];

const find = (id) => document.getElementById(id);
const [form, status, error] = [find("settings"), find("status"), find("error")];
const piece = { roll: [], given: 0 };
let card, step, keyboard, picture, context, composing, playing;

/** A mistake in a field, in words for people. */
class Mistake extends Error {
  constructor(field, expected, received) {
    super(`${field.labels[0]?.firstChild.textContent.trim()}: expected ${expected}. Received: ${received || "nothing"}`);
    this.field = field;
  }
}

function whole(id, low, high) {
  const field = find(id);
  const text = field.value.trim();
  const isRight = /^\d{1,300}$/.test(text) && BigInt(text) >= low && (high === null || BigInt(text) <= high);
  const range = high === null ? `of at least ${low}` : `from ${low} to ${high}`;
  if (!isRight) throw new Mistake(field, `a whole number ${range}`, text);
  return BigInt(text);
}

function settings() {
  return {
    frames: Number(whole("frames", 1n, MOST_FRAMES)),
    temperature: Number(find("temperature").value),
    voices: Number(whole("voices", 1n, MOST_VOICES)),
    seed: whole("seed", 0n, null),
  };
}

function complain(problem) {
  error.textContent = problem.message;
  problem.field?.setAttribute("aria-invalid", "true");
  problem.field?.focus();
}

function forgive() {
  error.textContent = "";
  form.querySelectorAll("[aria-invalid]").forEach((field) => field.removeAttribute("aria-invalid"));
}

function names(frame) {
  return card.pitch_names.filter((_, column) => frame[column]).join(" ");
}

/** What depends on the settings: the chord in words, and the command that gives the same notes. */
function reflect() {
  const pressed = keyboard.pressed;
  const columns = pressed.flatMap((on, column) => (on ? [column] : []));
  find("chord").textContent = names(pressed) || "none";
  find("degrees").textContent = Number(find("temperature").value).toFixed(2);
  const values = ["frames", "temperature", "voices", "seed"].map((id) => `--${id}=${find(id).value.trim()}`);
  const pitches = columns.map((column) => card.lowest_pitch + column);
  const words = ["python -m serving.compose", "--out=chorale.mid", `--pretrained=${card.name}`,
    `--chord=${pitches}`, ...values];
  // Lines break between the words alone, not behind their hyphens.
  find("command").replaceChildren(...words.flatMap((word, place) => {
    const span = document.createElement("span");
    span.textContent = word;
    return place ? [" ", span] : [span];
  }));
}

async function run() {
  forgive();
  const wanted = settings();
  const chord = keyboard.pressed;
  if (!chord.includes(1)) {
    throw new Error("Given chord: expected at least one key of the keyboard. Received: none");
  }
  silence();
  const mine = {};
  composing = mine;
  enable(false);
  Object.assign(piece, { roll: [chord], given: 1 });
  picture.clear(1 + wanted.frames);
  find("music").scrollIntoView({ block: "nearest" });
  let total = 0;
  try {
    for await (const frame of compose(step, [chord], wanted)) {
      if (composing !== mine) break;
      piece.roll.push(frame.chord);
      total += frame.nll;
      picture.draw(piece.roll, piece.given);
      picture.follow(piece.roll.length);
      // The browser paints.
      await new Promise((resolve) => setTimeout(resolve));
    }
  } finally {
    composing = null;
    enable(true);
  }
  const drawn = piece.roll.slice(piece.given);
  if (!drawn.length) return;
  const voices = drawn.map((frame) => frame.reduce((sum, note) => sum + note, 0));
  const mean = voices.reduce((sum, count) => sum + count, 0) / drawn.length;
  const words = `${drawn.length} quarter notes after ${names(chord)}, ${mean.toFixed(1)} voices on average; `
    + `${(total / drawn.length).toFixed(2)} nats per frame under the model.`;
  picture.describe(`A piano roll: ${words}`);
  status.textContent = words;
}

function enable(ended) {
  find("compose").textContent = ended ? "Compose" : "Stop";
  find("play").disabled = find("download").disabled = !ended || piece.roll.length <= piece.given;
  status.textContent = ended ? "" : "Composing …";
}

function sound() {
  context ??= new AudioContext();
  context.resume();
  return context;
}

function listen() {
  playing = play(sound(), piece.roll, card);
  find("play").textContent = "Stop playing";
  requestAnimationFrame(follow);
}

function follow() {
  if (!playing) return;
  const { begin, end, seconds } = playing;
  if (context.currentTime >= end) silence();
  else {
    picture.point(Math.max(0, context.currentTime - begin) / seconds);
    requestAnimationFrame(follow);
  }
}

function silence() {
  playing?.stop();
  playing = null;
  picture.point(null);
  find("play").textContent = "Play";
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([midi(piece.roll, card)], { type: "audio/midi" }));
  link.download = "chorale.mid";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function start() {
  keyboard = new Keyboard(find("keyboard"), card, (column, pressed) => {
    const note = card.pitch_names.map((_, other) => Number(other === column));
    if (pressed) play(sound(), [note], { ...card, beats_per_minute: 150 });
    reflect();
  });
  picture = new PianoRoll(find("roll"), card);
  for (const [id, value] of Object.entries(card.settings)) find(id).value = value;
  keyboard.press(card.chord.map((pitch) => pitch - card.lowest_pitch));
  keyboard.show();
  picture.clear(1 + card.settings.frames);
  reflect();
  find("model").textContent = `The model: ${card.name}, an LSTM of ${card.units} units trained on ${card.data}; `
    + `test ${card.metric} ${card.test.toFixed(2)} ${card.unit}. It is told no rules of harmony.`;
  form.addEventListener("input", () => { forgive(); reflect(); });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (composing) composing = null;
    else run().catch(complain);
  });
  find("play").addEventListener("click", () => (playing ? silence() : listen()));
  find("download").addEventListener("click", download);
  find("clear").addEventListener("click", () => { keyboard.press([]); reflect(); });
  find("compose").disabled = false;
  status.textContent = "Ready.";
}

try {
  ({ card, step } = await load());
  start();
} catch (problem) {
  status.textContent = "";
  complain(new Error(`The model does not run here: ${problem.message}`));
}

// An organ of WebAudio.

import { notes } from "./notes.js";

const LOUDNESS = 0.5;
const ATTACK = 0.02;
const RELEASE = 0.12;

/**
 * Schedules a piano roll from now on. Returns when it begins and ends, in seconds of the context,
 * and `stop`, after which nothing of it sounds.
 */
export function play(context, roll, { lowest_pitch: lowest, beats_per_minute: beats }) {
  const begin = context.currentTime + 0.05;
  const seconds = 60 / beats;
  const most = Math.max(4, ...roll.map((frame) => frame.reduce((sum, note) => sum + note, 0)));
  const wave = context.createPeriodicWave([0, 0, 0, 0, 0], [0, 1, 0.45, 0.2, 0.12]);
  const master = new GainNode(context, { gain: LOUDNESS / most });
  master.connect(context.destination);
  for (const { column, start, end } of notes(roll)) {
    const [from, to] = [begin + start * seconds, begin + end * seconds];
    const frequency = 440 * 2 ** ((lowest + column - 69) / 12);
    const tone = new OscillatorNode(context, { periodicWave: wave, frequency });
    const envelope = new GainNode(context, { gain: 0 });
    envelope.gain.setValueAtTime(0, from).linearRampToValueAtTime(1, from + ATTACK);
    envelope.gain.setTargetAtTime(0, to - RELEASE / 2, RELEASE / 4);
    tone.connect(envelope).connect(master);
    tone.start(from);
    tone.stop(to + RELEASE);
  }
  return { begin, end: begin + roll.length * seconds, seconds, stop: () => master.disconnect() };
}

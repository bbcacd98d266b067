// Piano rolls: a list of frames, each an array of zeros and ones of the pitches.

/** Held notes as `{column, start, end}`: `end` is the frame after the last; cut in two at `given`. */
export function notes(roll, given = 0) {
  const found = [];
  for (let column = 0; column < (roll[0]?.length ?? 0); column++) {
    for (let frame = 0; frame < roll.length; frame++) {
      if (!roll[frame][column]) continue;
      const goesOn = frame && frame !== given && roll[frame - 1][column];
      if (goesOn) found.at(-1).end = frame + 1;
      else found.push({ column, start: frame, end: frame + 1 });
    }
  }
  return found;
}

const TICKS = 480;
const VELOCITY = 80;
const CHURCH_ORGAN = 19;

/** A MIDI file of one track, byte for byte that of `serving.compose`: a frame is a quarter note. */
export function midi(roll, { lowest_pitch: lowest, beats_per_minute: beats }) {
  const events = [];
  for (const { column, start, end } of notes(roll)) {
    events.push([start, 0x90, lowest + column], [end, 0x80, lowest + column]);
  }
  // A key is released before it is pressed again.
  events.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
  const track = [
    0, 0xff, 0x51, 3, ...bigEndian(Math.round(60e6 / beats), 3), 0, 0xc0, CHURCH_ORGAN,
  ];
  let [written, running] = [0, 0xc0];
  for (const [frame, status, pitch] of events) {
    track.push(...variableLength((frame - written) * TICKS));
    // A status that repeats the last one is not written.
    if (status !== running) track.push(status);
    track.push(pitch, VELOCITY);
    [written, running] = [frame, status];
  }
  track.push(...variableLength((roll.length - written) * TICKS), 0xff, 0x2f, 0);
  const header = [...bytes("MThd"), ...bigEndian(6, 4), 0, 0, 0, 1, ...bigEndian(TICKS, 2)];
  return Uint8Array.from([...header, ...bytes("MTrk"), ...bigEndian(track.length, 4), ...track]);
}

const bytes = (text) => Array.from(text, (letter) => letter.charCodeAt(0));

const bigEndian = (value, size) =>
  Array.from({ length: size }, (_, index) => (value >>> (8 * (size - 1 - index))) & 0xff);

function variableLength(value) {
  const found = [value & 0x7f];
  for (let left = value >>> 7; left; left >>>= 7) found.unshift((left & 0x7f) | 0x80);
  return found;
}

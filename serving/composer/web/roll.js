// The piano roll as a picture that grows: time to the right, pitch upward, as piano_roll.py draws it.

import { notes } from "./notes.js";

const [FRAME, ROW, LEFT, BOTTOM] = [16, 8, 34, 22];
const [LOW, HIGH] = [58, 98];
const MARGIN = 2;
const BAR = 4;
const BLACK = new Set([1, 3, 6, 8, 10]);

function drawn(kind, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

export class PianoRoll {
  constructor(svg, { lowest_pitch: lowest, pitch_names: names }) {
    [this.svg, this.lowest, this.names] = [svg, lowest, names];
    this.bars = drawn("g", {});
    this.head = drawn("line", { class: "head", visibility: "hidden" });
  }

  /** Draws an empty staff of some frames. */
  clear(frames) {
    this.frames = frames;
    [this.low, this.high] = [LOW - this.lowest, HIGH - this.lowest];
    this.staff();
    this.bars.replaceChildren();
  }

  /** Draws the notes; the first `given` frames in gray. */
  draw(roll, given) {
    const held = notes(roll, given);
    const columns = held.map(({ column }) => column);
    const [low, high] = [Math.min(...columns), Math.max(...columns)];
    if (low < this.low || high > this.high) {
      this.low = Math.min(this.low, low - MARGIN);
      this.high = Math.max(this.high, high + MARGIN);
      this.staff();
    }
    this.bars.replaceChildren(...held.map(({ column, start, end }) => drawn("rect", {
      x: LEFT + FRAME * start + 0.5,
      y: ROW * (this.high - column) + 0.5,
      width: FRAME * (end - start) - 1,
      height: ROW - 1,
      rx: 2,
      class: start < given ? "given" : "note",
    })));
  }

  /** Describes it to those who do not see it. */
  describe(text) {
    this.svg.setAttribute("aria-label", text);
  }

  /** Shows what sounds: a line at a frame, or none. */
  point(frame) {
    this.head.setAttribute("visibility", frame === null ? "hidden" : "visible");
    if (frame !== null) this.head.setAttribute("transform", `translate(${LEFT + FRAME * frame} 0)`);
    this.follow(frame);
  }

  /** Scrolls to a frame, where the picture is wider than its window. */
  follow(frame) {
    const view = this.svg.parentElement;
    if (frame === null || view.scrollWidth <= view.clientWidth) return;
    view.scrollLeft = LEFT + FRAME * frame - view.clientWidth / 2;
  }

  staff() {
    const [width, height] = [FRAME * this.frames, ROW * (this.high - this.low + 1)];
    const staff = drawn("g", {});
    for (let column = this.low; column <= this.high; column++) {
      const [y, tone] = [ROW * (this.high - column), (this.lowest + column) % 12];
      if (BLACK.has(tone)) staff.append(drawn("rect", { x: LEFT, y, width, height: ROW, class: "row" }));
      if (tone === 0) staff.append(drawn("text", { x: LEFT - 6, y: y + ROW, class: "name" }, this.names[column]));
    }
    for (let frame = 0; frame <= this.frames; frame++) {
      const x = LEFT + FRAME * frame;
      staff.append(drawn("line", { x1: x, x2: x, y1: 0, y2: height, class: frame % BAR ? "beat" : "bar" }));
      if (frame % (2 * BAR) === 0 && frame < this.frames) {
        staff.append(drawn("text", { x, y: height + 15 }, frame / BAR + 1));
      }
    }
    staff.append(drawn("text", { x: LEFT - 6, y: height + 15, class: "name" }, "bar"));
    this.head.setAttribute("y2", height);
    const size = [LEFT + width + 4, height + BOTTOM];
    this.svg.setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
    this.svg.setAttribute("width", size[0]);
    this.svg.setAttribute("height", size[1]);
    this.svg.replaceChildren(staff, this.bars, this.head);
  }
}

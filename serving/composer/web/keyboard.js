// A piano's keyboard whose keys are toggled: one of them is a stop of the Tab key, arrows move on.

const BLACK = new Set([1, 3, 6, 8, 10]);
const MOVES = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -12, PageUp: 12 };

export class Keyboard {
  /** `toggled(column, pressed)` is told of what people do. */
  constructor(element, { lowest_pitch: lowest, pitch_names: names }, toggled) {
    let whites = 0;
    this.toggled = toggled;
    this.keys = names.map((name, column) => {
      const key = document.createElement("button");
      const isBlack = BLACK.has((lowest + column) % 12);
      key.type = "button";
      key.className = isBlack ? "key black" : "key";
      key.style.setProperty("--place", isBlack ? whites : whites++);
      key.setAttribute("aria-label", name);
      key.setAttribute("aria-pressed", "false");
      key.tabIndex = -1;
      if ((lowest + column) % 12 === 0) key.textContent = name;
      key.addEventListener("click", () => this.toggle(column));
      key.addEventListener("focus", () => this.stop(column));
      key.addEventListener("keydown", (event) => this.move(event, column));
      return key;
    });
    element.style.setProperty("--whites", whites);
    element.replaceChildren(...this.keys);
    this.stop(0);
  }

  get pressed() {
    return this.keys.map((key) => Number(key.getAttribute("aria-pressed") === "true"));
  }

  /** Presses these columns and no others. */
  press(columns) {
    this.keys.forEach((key, column) => key.setAttribute("aria-pressed", columns.includes(column)));
    if (columns.length) this.stop(columns[0]);
  }

  /** Brings the keys that are pressed into view. */
  show() {
    const [first] = this.keys.filter((_, column) => this.pressed[column]);
    const view = this.keys[0].parentElement.parentElement;
    if (first) view.scrollLeft = first.offsetLeft - view.clientWidth / 3;
  }

  toggle(column) {
    const pressed = !this.pressed[column];
    this.keys[column].setAttribute("aria-pressed", pressed);
    this.stop(column);
    this.toggled(column, pressed);
  }

  stop(column) {
    this.keys.forEach((key, other) => { key.tabIndex = other === column ? 0 : -1; });
  }

  move(event, column) {
    const last = this.keys.length - 1;
    const places = { Home: 0, End: last };
    const place = places[event.key] ?? column + (MOVES[event.key] ?? NaN);
    if (Number.isNaN(place)) return;
    event.preventDefault();
    this.keys[Math.min(Math.max(place, 0), last)].focus();
  }
}

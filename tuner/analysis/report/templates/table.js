"use strict";
// The list of all trials: sorted, filtered and opened. What the rows say is in the page itself;
// here they are only put in another order, and few of them at a time.

(() => {
  const ROWS = 25;
  const SPACE = "http://www.w3.org/2000/svg";

  const number = (text) => (text === "" ? NaN : Number(text.replace("−", "-").replaceAll(",", "")));

  // Four digits, as everywhere on the page.
  const written = (value) => (value === null || value === undefined ? "none" : String(value));

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function drawn(name, attributes = {}, text = "") {
    const made = document.createElementNS(SPACE, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  }

  // --- A learning curve ---

  function ticks(low, high, count) {
    const rough = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    const found = [];
    for (let place = Math.ceil(low / step); place * step <= high * (1 + 1e-12); place++) {
      found.push(Number((place * step).toPrecision(6)));
    }
    return found;
  }

  // The untrained network is far off: the axis is made for what was trained.
  function limits(values) {
    const trained = values.slice(1).filter((value) => value !== null);
    const shown = trained.length ? trained : values.filter((value) => value !== null);
    const low = Math.min(...shown);
    const high = Math.max(...shown);
    const margin = 0.06 * (high - low) || 0.05 * Math.abs(high) || 1;
    return [low - margin, high + margin];
  }

  class Panel {
    static size = { width: 360, height: 190, left: 46, right: 12, top: 24, bottom: 34 };

    constructor(name, values, best, trial) {
      const { width, height, left, right, top, bottom } = Panel.size;
      const [low, high] = limits(values);
      const last = Math.max(values.length - 1, 1);
      this.x = (epoch) => left + (epoch / last) * (width - left - right);
      this.y = (value) => top + ((high - value) / (high - low)) * (height - top - bottom);
      this.svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
      this.svg.setAttribute("aria-label", `${name} of ${trial} by epoch`);
      this.svg.append(drawn("text", { x: left, y: 12, class: "name" }, name));
      for (const tick of ticks(low, high, 4)) {
        const y = this.y(tick);
        this.svg.append(drawn("line", { x1: left, x2: width - right, y1: y, y2: y, class: "grid" }));
        this.svg.append(drawn("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, written(tick)));
      }
      for (const tick of ticks(0, last, 5).filter(Number.isInteger)) {
        const x = this.x(tick);
        this.svg.append(drawn("text", { x, y: height - bottom + 15, "text-anchor": "middle" }, written(tick)));
      }
      const middle = (left + width - right) / 2;
      this.svg.append(drawn("text", { x: middle, y: height - 3, "text-anchor": "middle" }, "epoch"));
      const points = [...values.entries()]
        .filter(([, value]) => value !== null && value >= low && value <= high)
        .map(([epoch, value]) => `${this.x(epoch).toFixed(1)},${this.y(value).toFixed(1)}`);
      this.svg.append(drawn("polyline", { points: points.join(" "), class: "line" }));
      if (points.length === 1) {
        const [cx, cy] = points[0].split(",");
        this.svg.append(drawn("circle", { cx, cy, r: 3, class: "mark" }));
      }
      if (best !== null && values[best] !== null && values[best] <= high) {
        const place = { cx: this.x(best), cy: this.y(values[best]), r: 4, class: "mark best" };
        this.svg.append(drawn("circle", place));
      }
      this.cursor = drawn("line", { y1: top, y2: height - bottom, class: "cursor" });
      this.svg.append(this.cursor);
      this.last = last;
    }

    show(epoch) {
      this.cursor.setAttribute("x1", this.x(epoch));
      this.cursor.setAttribute("x2", this.x(epoch));
    }

    epochAt(event) {
      const box = this.svg.getBoundingClientRect();
      const { width, left, right } = Panel.size;
      const x = ((event.clientX - box.left) / box.width) * width;
      const epoch = Math.round(((x - left) / (width - left - right)) * this.last);
      return Math.min(Math.max(epoch, 0), this.last);
    }
  }

  function learningCurve(curve, trial, metric) {
    const { validation, loss, best } = curve;
    const last = validation.length - 1;
    const panels = [new Panel(`validation ${metric}`, validation, best, trial)];
    if (loss.some((value) => value !== null)) {
      panels.push(new Panel("training loss a frame", loss, null, trial));
    }
    const slider = element("input", { type: "range", min: 0, max: last, value: best });
    const output = element("output");
    const show = () => {
      const epoch = Number(slider.value);
      for (const panel of panels) panel.show(epoch);
      output.textContent =
        `epoch ${epoch}: validation ${written(validation[epoch])}, loss ${written(loss[epoch])}` +
        (epoch === best ? " (best)" : "");
    };
    slider.addEventListener("input", show);
    for (const panel of panels) {
      panel.svg.addEventListener("pointermove", (event) => {
        slider.value = panel.epochAt(event);
        show();
      });
    }
    show();
    const summary =
      `${trial}: validation ${written(validation[0])} before training, best ` +
      `${written(validation[best])} at epoch ${best} of ${last}.`;
    return element(
      "div", { class: "curves" },
      element("p", { class: "summary" }, summary),
      ...panels.map((panel) => panel.svg),
      element("label", {}, "Epoch ", slider, output),
    );
  }

  // --- The list ---

  const COMPARE = {
    "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b,
    "=": (a, b) => a === b,
  };
  const CONDITION = /(\w+)\s*(<=|>=|<|>|=)\s*([^\s<>=]*)/g;

  // Words may be begun only; a number is a number: "NFG 7" is one trial.
  const matches = (word, other) => (/\d/.test(word) ? other === word : other.startsWith(word));

  class List {
    constructor(details) {
      const find = (selector) => details.querySelector(selector);
      this.details = details;
      this.body = find("tbody");
      this.headings = [...details.querySelectorAll("thead th")];
      this.names = this.headings.map((heading) => heading.dataset.name);
      this.status = find(".status");
      this.filters = find(".filters");
      this.query = find("[name=query]");
      this.previous = find("[name=previous]");
      this.next = find("[name=next]");
      this.rows = [...this.body.rows].map((row) => this.read(row));
      this.sorted = this.shown = this.rows;
      this.first = 0;
      this.prepare(find(".pages"));
      this.filter();
    }

    read(row) {
      const cells = [...row.cells];
      const orders = cells.map((cell) => number(cell.dataset.order ?? cell.textContent));
      const text = cells.map((cell) => cell.textContent);
      return {
        element: row,
        orders: orders.map((order, place) => (Number.isNaN(order) ? null : order)),
        text,
        words: `${text[0]} ${text.at(-1)}`.toLowerCase().split(" "),
        variant: row.dataset.variant,
        status: text.at(-1),
      };
    }

    prepare(pages) {
      for (const [place, heading] of this.headings.entries()) {
        const button = element("button", { type: "button" }, heading.textContent);
        button.addEventListener("click", () => this.sort(place));
        heading.replaceChildren(button);
      }
      for (const { element: row } of this.rows) {
        if (row.dataset.curve === undefined) continue;
        const name = row.cells[0];
        const button = element("button", { type: "button", "aria-expanded": "false" }, name.textContent);
        button.title = "Learning curve";
        button.addEventListener("click", () => this.toggle(row, button));
        name.replaceChildren(button);
      }
      this.filters.addEventListener("input", () => this.filter());
      this.previous.addEventListener("click", () => this.turn(-ROWS));
      this.next.addEventListener("click", () => this.turn(ROWS));
      this.filters.hidden = false;
      pages.hidden = this.rows.length <= ROWS;
      this.details.open = true;
    }

    sort(place) {
      const heading = this.headings[place];
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of this.headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sign = down ? -1 : 1;
      // Rows without a number come last in both directions.
      this.sorted = [...this.rows].sort((one, other) => {
        const [a, b] = [one.orders[place], other.orders[place]];
        if (a !== null && b !== null) return sign * (a - b);
        if (a !== null || b !== null) return a === null ? 1 : -1;
        return sign * one.text[place].localeCompare(other.text[place]);
      });
      this.filter();
    }

    // Reads conditions and words; what cannot be read is said, and counts as not written.
    parse(query) {
      const conditions = [];
      const mistakes = [];
      const rest = query.replace(CONDITION, (whole, name, sign, value) => {
        const place = this.names.indexOf(name.toLowerCase());
        if (place < 0) mistakes.push(`there is no column ${name}`);
        else if (Number.isNaN(number(value))) mistakes.push(`“${whole.trim()}” lacks a number`);
        else conditions.push({ place, compare: COMPARE[sign], value: number(value) });
        return " ";
      });
      const words = rest.toLowerCase().split(/\s+/).filter(Boolean);
      return { conditions, words, mistakes };
    }

    filter() {
      const field = (name) => this.filters.querySelector(`[name=${name}]`).value;
      const [variant, status] = [field("variant"), field("status")];
      const { conditions, words, mistakes } = this.parse(this.query.value);
      this.query.setAttribute("aria-invalid", String(mistakes.length > 0));
      this.mistakes = mistakes;
      this.shown = this.sorted.filter(
        (row) =>
          (!variant || row.variant === variant) &&
          (!status || row.status === status) &&
          words.every((word) => row.words.some((other) => matches(word, other))) &&
          conditions.every(
            ({ place, compare, value }) => row.orders[place] !== null && compare(row.orders[place], value),
          ),
      );
      this.first = 0;
      this.show();
    }

    turn(step) {
      this.first += step;
      this.show();
      // A button that has just been switched off would take the focus with it.
      if (this.next.disabled && step > 0) this.previous.focus();
      if (this.previous.disabled && step < 0) this.next.focus();
    }

    show() {
      const page = this.shown.slice(this.first, this.first + ROWS);
      for (const { element: row } of this.rows) this.mark(row, false);
      this.body.replaceChildren(...page.map((row) => row.element));
      this.previous.disabled = this.first === 0;
      this.next.disabled = this.first + ROWS >= this.shown.length;
      const count = this.shown.length.toLocaleString("en");
      const of = this.shown.length < this.rows.length ? ` of ${this.rows.length.toLocaleString("en")}` : "";
      const which = page.length < this.shown.length ? `, ${this.first + 1}–${this.first + page.length} shown` : "";
      this.status.textContent = `${count}${of} trials${which}` + this.mistakes.map((words) => `; ${words}`).join("");
    }

    mark(row, open) {
      row.cells[0].querySelector("button")?.setAttribute("aria-expanded", String(open));
    }

    toggle(row, button) {
      const open = button.getAttribute("aria-expanded") === "true";
      this.mark(row, !open);
      if (open) {
        row.nextElementSibling.remove();
        return;
      }
      this.curves ??= JSON.parse(document.getElementById(this.details.dataset.trials).textContent);
      const curve = this.curves[Number(row.dataset.curve)];
      const cell = element("td", { colspan: this.names.length });
      cell.append(learningCurve(curve, button.textContent, this.details.dataset.metric));
      row.after(element("tr", { class: "curve" }, cell));
    }
  }

  // --- Light and dark ---

  function addThemeButton() {
    const dark = () => {
      const chosen = document.documentElement.dataset.theme;
      return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    };
    const button = element("button", { type: "button", class: "theme" });
    const name = () => (button.textContent = dark() ? "Light colors" : "Dark colors");
    button.addEventListener("click", () => {
      document.documentElement.dataset.theme = dark() ? "light" : "dark";
      name();
    });
    name();
    document.querySelector("nav").append(button);
  }

  addThemeButton();
  for (const details of document.querySelectorAll("details[data-trials]")) new List(details);
})();

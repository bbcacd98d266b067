"use strict";

const state = document.getElementById("state");
const best = new Map();

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(1)} days`;
}

function cell(row, kind, text) {
  const made = row.appendChild(document.createElement(kind));
  made.textContent = text;
  return made;
}

function variantRow(study, variant) {
  const row = document.createElement("tr");
  const name = cell(row, "th", variant.name === variant.code ? variant.code : `${variant.code}: ${variant.name}`);
  name.scope = "row";
  const ended = cell(row, "td", `${variant.ended} of ${variant.planned}`);
  const meter = ended.appendChild(document.createElement("meter"));
  meter.max = variant.planned || 1;
  meter.value = variant.ended;
  meter.setAttribute("aria-label", `${variant.code}: trials that have ended`);
  const found = variant.best;
  cell(row, "td", found ? found.validation.toFixed(3) : "–");
  cell(row, "td", found ? found.test.toFixed(3) : "–");
  cell(row, "td", found ? found.values : "–");
  const key = `${study.name} ${variant.code}`;
  const value = found ? found.validation : null;
  if (best.has(key) && best.get(key) !== value) row.classList.add("new");
  best.set(key, value);
  return row;
}

function place(study) {
  const id = `study-${study.name}`;
  let section = document.getElementById(id);
  if (!section) {
    section = document.getElementById("study").content.firstElementChild.cloneNode(true);
    section.id = id;
    section.querySelector("h2").textContent = study.name;
    section.querySelector("caption").textContent = `Best of each variant by validation; ${study.metric} in ${study.unit}`;
    section.querySelector(".scroll").setAttribute("aria-label", `Variants of ${study.name}`);
    document.getElementById("studies").append(section);
  }
  const failed = study.failed ? `, ${study.failed} failed` : "";
  section.querySelector(".lead").textContent =
    `${study.task}: ${study.ended} of ${study.planned} trials have ended${failed}.`;
  section.querySelector("tbody").replaceChildren(...study.variants.map((one) => variantRow(study, one)));
}

function line(trial, several) {
  const item = document.createElement("li");
  const what = `${several ? `${trial.study} ` : ""}${trial.variant} ${trial.trial} (${trial.values})`;
  item.textContent = trial.failed
    ? `${what}: failed: ${trial.failed}`
    : `${what}: validation ${trial.validation.toFixed(3)}, test ${trial.test.toFixed(3)} at epoch ${trial.epoch}, ` +
      `${duration(trial.seconds)}${trial.diverged ? ", diverged" : ""}`;
  return item;
}

function show(found) {
  if (found.error) {
    state.textContent = found.error;
    return;
  }
  const ended = found.studies.reduce((sum, one) => sum + one.ended, 0);
  const planned = found.studies.reduce((sum, one) => sum + one.planned, 0);
  const left = found.left === null ? "" : `, about ${duration(found.left)} left`;
  state.textContent = !found.studies.length ? "No study has begun yet."
    : ended === planned ? `All ${planned} trials have ended.`
    : `${ended} of ${planned} trials have ended${left}.`;
  document.title = `${ended} of ${planned} trials: LSTM variants`;
  found.studies.forEach(place);
  const running = document.getElementById("running");
  running.hidden = !found.running;
  running.querySelector("ul").replaceChildren(...(found.running || []).map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  if (found.recent.length) {
    document.getElementById("recent").replaceChildren(
      ...found.recent.map((one) => line(one, found.studies.length > 1)));
  }
}

document.getElementById("update").addEventListener("click", () => {
  const frame = document.getElementById("report");
  frame.hidden = false;
  frame.src = `/report/?${Date.now()}`;
});

const events = new EventSource("/events");
events.onmessage = (event) => show(JSON.parse(event.data));
events.onerror = () => { state.textContent = "No answer: the study's process may have ended. Trying again …"; };

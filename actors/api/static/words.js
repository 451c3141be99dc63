// What happened, and the agent's own log as it is written.

import { h } from "./dom.js";
import { stamp } from "./format.js";
import { icon } from "./icons.js";

const RANK = { debug: 0, info: 1, warning: 2, error: 3, critical: 4 };
const ICON = { warning: "warn", error: "bad", critical: "bad" };

export function events(state) {
  const found = [...(state.facts.events ?? [])].reverse();
  if (!found.length) return [h("p", { class: "empty" }, "Nothing has happened yet.")];
  return [
    h("ol", { class: "events" }, found.map((event) => h("li", { key: `${event.at} ${event.kind} ${event.subject}` },
      h("time", { class: "dim" }, stamp(event.at, state.now)),
      h("span", { class: "mark" }, ICON[event.severity] ? [icon(ICON[event.severity]), h("span", { class: "unseen" }, event.severity)] : null),
      h("span", { class: "text" }, h("strong", null, event.subject || event.kind), " ", event.text || event.kind),
    ))),
  ];
}

export function log(state, actions) {
  const { level, word, paused } = state.log;
  const lines = (paused ? state.log.held : state.lines).filter((line) => fits(line, level, word));
  return [
    h("div", { class: "controls" },
      h("label", null, h("span", { class: "unseen" }, "Least level"),
        h("select", { onchange: (event) => actions.log({ level: event.target.value }) },
          ["debug", "info", "warning", "error"].map((one) => h("option", { value: one, selected: one === level }, one)))),
      h("label", { class: "grow" }, h("span", { class: "unseen" }, "Filter the log"),
        h("input", { type: "search", placeholder: "Filter", value: word, oninput: (event) => actions.log({ word: event.target.value }) })),
      h("button", { type: "button", "aria-pressed": String(paused), onclick: () => actions.log({ paused: !paused }) }, paused ? "Go on" : "Hold"),
    ),
    h("div", { class: "lines", role: "log", "aria-live": "off", "aria-label": "Log of the agent", tabindex: 0, own: (element) => draw(element, lines, state) }),
  ];
}

function fits(line, level, word) {
  if ((RANK[line.level] ?? 1) < RANK[level]) return false;
  return !word || `${line.event} ${line.text}`.toLowerCase().includes(word.toLowerCase());
}

/* Drawn by hand: most lines are the same as before, and the end stays in view for one who is at the end. */
function draw(element, lines, state) {
  const sign = `${lines.length} ${lines.at(-1)?.number} ${lines[0]?.number} ${state.log.word}`;
  if (element.sign === sign) return;
  const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
  element.sign = sign;
  element.replaceChildren(...(lines.length ? lines.map(row) : [quiet(state)]));
  if (atEnd) element.scrollTop = element.scrollHeight;
}

function row(line) {
  const element = document.createElement("p");
  element.className = `line ${line.level}`;
  for (const [name, text] of [["at", line.at.slice(11, 19)], ["level", line.level], ["event", line.event], ["rest", line.text]]) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    element.append(part, " ");
  }
  return element;
}

function quiet(state) {
  const element = document.createElement("p");
  element.className = "empty";
  element.textContent = state.lines.length ? "No line fits the filter." : "No line yet.";
  return element;
}

// A shape for each meaning, so that none is told by colour alone.

import { h } from "./dom.js";
import { words } from "./format.js";

const TONES = {
  good: ["ready", "running", "connected", "done", "complete"],
  bad: ["gave_up", "failed", "wedged", "error", "critical", "deregistered"],
  warn: ["backoff", "warning", "waiting", "draining", "paused"],
  busy: ["starting", "loading", "stopping", "connecting", "enrolling", "queued", "resolving", "transferring", "verifying", "pulling"],
};
const OF = new Map(Object.entries(TONES).flatMap(([tone, states]) => states.map((state) => [state, tone])));

export const tone = (state) => OF.get(String(state).toLowerCase()) ?? "idle";

const SHAPES = {
  good: () => [h("circle", { cx: 8, cy: 8, r: 7 }), h("path", { class: "cut", d: "M4.8 8.3l2.2 2.2 4.2-4.7" })],
  bad: () => [h("path", { d: "M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z" }), h("path", { class: "cut", d: "M5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8" })],
  warn: () => [h("path", { d: "M8 1.2L15.4 14.4H.6z" }), h("path", { class: "cut", d: "M8 6v4M8 12.2v.1" })],
  busy: () => [h("circle", { class: "ring", cx: 8, cy: 8, r: 6 }), h("path", { class: "turn", d: "M8 2a6 6 0 0 1 6 6" })],
  idle: () => [h("circle", { class: "ring", cx: 8, cy: 8, r: 5.6 })],
};

export function icon(name) {
  return h("svg", { class: `icon ${name}`, viewBox: "0 0 16 16", "aria-hidden": "true" }, SHAPES[name]());
}

export function badge(state, text, name = tone(state)) {
  return h("span", { class: `badge ${name}` }, icon(name), h("span", null, text ?? words(state)));
}

// The page: one stream of facts in, one drawing out. A page that nobody sees hears nothing and costs the agent nothing.

import { Past } from "./charts.js";
import { h, patch } from "./dom.js";
import { engines } from "./engines.js";
import { alerts, banner, bar, verdict } from "./head.js";
import { gpus, host, strain } from "./machine.js";
import { cost, downloads, models, tree } from "./store.js";
import { events, log } from "./words.js";

const STALE_MS = 4000;
const FULL_MS = 15_000;
const AGAIN_MS = 2_000;
const LINES_MAX = 500;
const THEMES = ["system", "light", "dark"];

const state = {
  facts: {}, lines: [], at: 0, now: Date.now() / 1000, heard: performance.now(), stale: false, silent: 0, full: false,
  span: "15m", past: new Past("15m"), theme: document.documentElement.dataset.theme ?? "system",
  log: { level: "info", word: "", paused: false, held: [] },
};
let source = null;
let again = 0;
let later = 0;
let numbered = 0;
let drawing = false;

const actions = {
  span(chosen) {
    if (chosen === state.span) return;
    state.span = chosen;
    state.past = new Past(chosen);
    load();
  },
  theme() {
    state.theme = THEMES[(THEMES.indexOf(state.theme) + 1) % THEMES.length];
    if (state.theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = state.theme;
    try {
      localStorage.setItem("theme", state.theme);
    } catch {
      // not kept, then
    }
    draw();
  },
  log(change) {
    if (change.paused) state.log.held = [...state.lines];
    Object.assign(state.log, change);
    draw();
  },
};

function load() {
  const { past } = state;
  clearTimeout(later);
  past.load().then(draw, () => {
    later = setTimeout(load, AGAIN_MS);
  });
}

function open() {
  close();
  load();
  source = new EventSource("/v1/stream");
  source.addEventListener("facts", (event) => {
    const news = JSON.parse(event.data);
    state.at = news.at;
    Object.assign(state.facts, news);
    Object.assign(state, { heard: performance.now(), stale: false, full: false });
    if (news.snapshot?.charted) state.past.push(news.snapshot.at, news.snapshot.charted);
    draw();
  });
  source.addEventListener("log", (event) => {
    const { lines, left_out: leftOut } = JSON.parse(event.data);
    if (leftOut) lines.unshift({ at: lines[0]?.at ?? "", level: "warning", event: "…", text: "lines were left out" });
    for (const line of lines) state.lines.push({ ...line, number: (numbered += 1) });
    state.lines.splice(0, state.lines.length - LINES_MAX);
    draw();
  });
  source.addEventListener("open", () => {
    state.lines = [];
    state.full = false;
  });
  source.addEventListener("error", () => {
    if (source?.readyState !== EventSource.CLOSED) return;
    state.full = true;
    again = setTimeout(open, FULL_MS);
  });
}

function close() {
  clearTimeout(again);
  clearTimeout(later);
  source?.close();
  source = null;
}

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    state.now = state.at ? state.at + (performance.now() - state.heard) / 1000 : Date.now() / 1000;
    document.title = title();
    document.body.classList.toggle("is-stale", state.stale);
    patch(document.querySelector("#app"), page());
  });
}

function title() {
  const critical = (state.facts.alerts ?? []).filter((alert) => alert.severity === "critical").length;
  return `${critical ? `(${critical}) ` : ""}${state.facts.agent?.host || state.facts.link?.agent_id || "MosalamaAgent"}`;
}

/* A part that cannot be drawn says so, and takes no other with it. */
function safely(make) {
  try {
    return make();
  } catch (error) {
    console.error(error);
    return [h("p", { class: "empty" }, "This part cannot be shown: the facts are not as expected.")];
  }
}

function section(id, name, make, aside) {
  return h("section", { key: id, id, "aria-labelledby": `${id}-h`, tabindex: -1 },
    h("div", { class: "over" }, h("h2", { id: `${id}-h` }, name), aside && h("p", { class: "dim" }, aside)),
    safely(make));
}

function page() {
  const on = state.facts.alerts?.length ?? 0;
  const anyGpu = Object.keys(state.facts.snapshot?.gpus ?? {}).length > 0;
  return [
    h("header", { class: "bar" }, bar(state, actions)),
    h("div", { class: "banner", role: "status", "aria-live": "polite" }, banner(state)),
    h("main", null,
      h("div", { key: "top", class: "top" }, safely(() => verdict(state))),
      on > 0 && section("alerts", "Alerts", () => h("ul", { class: "alerts" }, alerts(state)), `${on} on`),
      section("engines", "Engines", () => h("div", { class: "grid engines" }, engines(state))),
      anyGpu && section("gpus", "GPUs", () => h("div", { class: "grid fit" }, gpus(state))),
      section("host", "Host", () => [h("div", { class: "grid tiles" }, host(state)), strain(state)]),
      h("div", { key: "two", class: "two" },
        section("models", "Models", () => h("div", { class: "card" }, downloads(state), h("div", { class: "scroll" }, models(state)))),
        section("tree", "Supervision", () => h("div", { class: "card" }, tree(state)), cost(state)),
      ),
      h("div", { key: "words", class: "two" },
        section("events", "Events", () => h("div", { class: "card tall", tabindex: 0, role: "region", "aria-label": "Events, newest first" }, events(state))),
        section("log", "Log", () => h("div", { class: "card log" }, log(state, actions))),
      ),
    ),
  ];
}

setInterval(() => {
  const silent = performance.now() - state.heard;
  state.stale = !document.hidden && silent > STALE_MS;
  state.silent = silent / 1000;
  draw();
}, 1000);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return close();
  state.heard = performance.now();
  open();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
document.querySelector("#app").hidden = false;
if (!document.hidden) open();
draw();

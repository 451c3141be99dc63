// One card for each engine: its state in words, what it does now, and why it does not serve when it does not.

import { chart } from "./charts.js";
import { h } from "./dom.js";
import { count, percent, seconds, span, words } from "./format.js";
import { badge, icon, tone } from "./icons.js";

export function engines(state) {
  const found = state.facts.engines;
  if (!found) return [h("p", { class: "empty" }, "Waiting for the first facts.")];
  if (!found.length) return [h("p", { class: "empty" }, "No engine is wanted on this machine. The master's first order brings one.")];
  return found.map((engine) => card(state, engine));
}

function card(state, engine) {
  const figures = state.facts.snapshot?.engines?.[engine.name] ?? {};
  const name = tone(engine.state);
  return h("article", { key: engine.name, class: `card engine ${name}`, "aria-label": `Engine ${engine.name}` },
    h("header", null,
      h("div", null, h("h3", null, engine.name), h("p", { class: "dim clip", title: engine.model }, engine.model)),
      badge(engine.state),
    ),
    engine.state === "ready" ? serving(state, engine, figures) : waiting(state, engine),
    h("footer", { class: "dim" },
      h("span", null, engine.kind),
      engine.endpoint && h("span", null, engine.endpoint.replace("http://", "")),
      engine.gpus?.length ? h("span", null, engine.gpus.length === 1 ? "1 GPU" : `${engine.gpus.length} GPUs`) : null,
      engine.ready_since && h("span", null, `serving for ${span(state.now - engine.ready_since)}`),
      engine.restarts > 0 && h("span", { class: "marked" }, engine.restarts === 1 ? "1 restart" : `${engine.restarts} restarts`),
    ),
  );
}

function serving(state, engine, figures) {
  const series = (name) => `engine.${engine.name}.${name}`;
  return [
    h("dl", { class: "numbers" },
      number("Tokens/s", count(figures.generated_tokens_per_s), true),
      number("Running", count(figures.running)),
      number("Waiting", count(figures.waiting), false, figures.waiting > 0),
      figures.ttft_p95_s == null && figures.ttft_mean_s != null
        ? number("TTFT mean", seconds(figures.ttft_mean_s))
        : number("TTFT p95", seconds(figures.ttft_p95_s)),
      number("KV cache", percent(figures.kv_usage)),
    ),
    figures.page_missing
      ? h("p", { class: "note" }, icon("warn"), "Its page of figures does not answer.")
      : chart(state.past, {
          title: `Tokens a second of ${engine.name}`,
          lines: [{ name: series("tokens"), label: "tokens/s", format: count }],
          top: 10,
          height: 72,
        }),
  ];
}

function number(term, value, first = false, marked = false) {
  return h("div", { class: `${first ? "first" : ""} ${marked ? "marked" : ""}` }, h("dt", null, term), h("dd", null, value));
}

function waiting(state, engine) {
  const left = engine.next_try_at == null ? null : engine.next_try_at - state.now;
  const attempts = engine.attempts ?? [];
  return h("div", { class: `why ${tone(engine.state)}` },
    h("p", { class: "reason", title: engine.why || null }, engine.why || `It is ${words(engine.state)}.`),
    engine.cause && h("p", { class: "dim" }, `Cause: ${words(engine.cause)}`),
    left != null && h("p", { class: "next" }, left > 0 ? `Next try in ${span(left)}` : "Trying again now"),
    attempts.length > 1 && h("details", null, h("summary", null, `${attempts.length} attempts`), h("ol", null, attempts.map((line) => h("li", null, line)))),
  );
}

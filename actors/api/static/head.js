// The top of the page: who this is, whether it is live, the one sentence, and the alerts.

import { h } from "./dom.js";
import { clock, count, part, percent, seconds, span, words } from "./format.js";
import { icon, tone } from "./icons.js";

const plural = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

export function bar(state, actions) {
  const { link } = state.facts;
  const agent = state.facts.agent ?? {};
  const id = link?.agent_id || "not enrolled";
  return [
    h("a", { class: "skip", href: "#engines" }, "Skip to the engines"),
    h("div", { class: "brand" },
      h("img", { src: "/static/icon.svg", alt: "", width: 26, height: 26 }),
      h("div", null, h("h1", null, agent.host || id), h("p", { class: "clip" }, `MosalamaAgent ${agent.version ?? ""}`, agent.host ? `, ${id}` : "")),
    ),
    h("div", { class: "tools" },
      live(state),
      h("div", { class: "choice", role: "group", "aria-label": "Span of the charts" },
        ["15m", "24h"].map((one) => h("button", { type: "button", "aria-pressed": String(state.span === one), onclick: () => actions.span(one) }, one === "15m" ? "15 min" : "24 h")),
      ),
      h("button", { type: "button", class: "theme", onclick: actions.theme, "aria-label": `Theme: ${state.theme}. Change it`, title: `Theme: ${state.theme}` },
        h("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, h("circle", { class: "ring", cx: 8, cy: 8, r: 6 }), h("path", { d: "M8 2a6 6 0 0 1 0 12z" }))),
    ),
  ];
}

function live(state) {
  const [name, text] = state.stale ? ["warn", "not live"] : state.at ? ["good", "live"] : ["busy", "connecting"];
  return h("span", { class: `live ${name}` }, icon(name), h("span", null, text));
}

export function banner(state) {
  if (!state.stale) return [];
  const since = state.at ? `What you see is from ${clock(state.at)}.` : "Nothing has been heard yet.";
  const why = state.full ? "As many viewers look on as are allowed" : "The agent does not answer";
  return [icon("warn"), h("p", null, h("strong", null, why), ` (${span(state.silent)}). ${since} Trying again.`)];
}

export function verdict(state) {
  const { engines = [], alerts = [], link, status, snapshot } = state.facts;
  const [name, text, more] = sentence(engines, alerts);
  const host = snapshot?.host ?? {};
  const facts = [
    link && [link.state === "unenrolled" ? "Not enrolled with a master" : `Master ${words(link.state)}`, link.state === "connected" ? link.master : link.last_error || link.master],
    status && ["Up", span(state.now - status.started_at)],
    snapshot && ["Processors", percent(host["cpu.busy"])],
    snapshot && ["Memory", part(host["memory.total_bytes"] - host["memory.available_bytes"], host["memory.total_bytes"])],
    snapshot && Object.keys(snapshot.gpus ?? {}).length > 0 && ["GPUs", String(Object.keys(snapshot.gpus).length)],
  ].filter(Boolean);
  return [
    h("div", { class: "over-all" },
      h("div", { class: `verdict ${name}` }, icon(name), h("div", null, h("h2", null, text), more && h("p", null, more))),
      engines.length > 0 && h("dl", { class: "kpis" }, figures(state).map(([term, value]) => h("div", null, h("dt", null, term), h("dd", null, value)))),
    ),
    h("dl", { class: "facts" }, facts.map(([term, value]) => h("div", null, h("dt", null, term), h("dd", null, value ?? "")))),
  ];
}

/* Tone, headline, and what more there is: first whether the engines serve, then what to look at. */
function sentence(engines, alerts) {
  const down = engines.filter((engine) => ["bad", "warn"].includes(tone(engine.state)) && engine.state !== "draining");
  const [name, text, more] = serving(engines, down);
  const critical = alerts.filter((alert) => alert.severity === "critical").length;
  if (down.length || !alerts.length) return [name, text, more];
  const word = critical ? plural(critical, "critical alert") : plural(alerts.length, "alert");
  return ["warn", text, [more, `${word} to look at`].filter(Boolean).join("; ")];
}

function serving(engines, down) {
  const number = (name) => engines.filter((engine) => engine.state === name).length;
  const [ready, stopped, draining] = ["ready", "stopped", "draining"].map(number);
  const wanted = engines.length - stopped;
  const coming = wanted - ready - draining - down.length;
  const rest = [coming && `${coming} on the way`, draining && `${draining} draining`, stopped && `${stopped} stopped by command`].filter(Boolean).join("; ");
  if (!engines.length) return ["idle", "No engine is wanted here", "The machine is ready for one."];
  if (down.length === 1) return ["bad", `${down[0].name} is not serving`, down[0].why];
  if (down.length) return ["bad", `${down.length} of ${engines.length} engines are not serving`, down.map((engine) => engine.name).join(", ")];
  if (!wanted) return ["idle", "No engine is serving", rest];
  if (!ready) return ["busy", wanted === 1 ? `${engines.find((engine) => engine.state !== "stopped").name} is not serving yet` : "No engine is serving yet", rest];
  if (ready < wanted) return ["good", `${ready} of ${wanted} engines are serving`, rest];
  return ["good", wanted === 1 ? `${engines.find((engine) => engine.state === "ready").name} is serving` : `All ${wanted} engines are serving`, rest];
}

function figures(state) {
  const found = Object.values(state.facts.snapshot?.engines ?? {});
  const all = (name) => found.map((one) => one[name]).filter((value) => typeof value === "number");
  const sum = (name) => (all(name).length ? all(name).reduce((left, right) => left + right, 0) : null);
  const most = (name) => (all(name).length ? Math.max(...all(name)) : null);
  return [
    ["Tokens/s", count(sum("generated_tokens_per_s"))],
    ["Running", count(sum("running"))],
    ["Waiting", count(sum("waiting"))],
    ["TTFT p95", seconds(most("ttft_p95_s"))],
  ];
}

export function alerts(state) {
  return (state.facts.alerts ?? []).map((alert) => {
    const name = { critical: "bad", warning: "warn" }[alert.severity] ?? "idle";
    const notes = [alert.follows_from && `follows from ${words(alert.follows_from)}`, alert.flapping && "flapping", alert.stale && "not known now", alert.count > 1 && `${alert.count} times`];
    return h("li", { key: alert.fingerprint, class: `card alert ${name}` },
      icon(name),
      h("div", null,
        h("p", { class: "what" }, h("strong", null, alert.severity, ": "), alert.text),
        alert.do && h("p", { class: "todo" }, alert.do),
        h("p", { class: "dim" }, `${words(alert.rule)}, for ${span(state.now - alert.starts_at)}`, ...notes.filter(Boolean).map((note) => `, ${note}`)),
      ),
    );
  });
}

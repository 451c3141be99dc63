// Models on this machine, what is on its way, and the supervision tree.

import { h } from "./dom.js";
import { percent, rate, size, span, words } from "./format.js";
import { badge } from "./icons.js";

// A download that runs is not done, and one that waits for another is no trouble.
const STATES = { running: ["busy", "downloading"], transferring: ["busy", "downloading"], waiting: ["idle", "waiting"] };

export function downloads(state) {
  const found = state.facts.transfers ?? [];
  return found.length > 0 && h("ul", { class: "transfers", "aria-label": "Downloads" }, found.map(download));
}

function download(transfer) {
  const share = transfer.total_bytes ? transfer.done_bytes / transfer.total_bytes : null;
  const rest = [
    transfer.total_bytes ? `${size(transfer.done_bytes)} of ${size(transfer.total_bytes)}` : transfer.done_bytes ? size(transfer.done_bytes) : "",
    transfer.rate_bytes_s ? rate(transfer.rate_bytes_s) : "",
    transfer.eta_s != null ? `${span(transfer.eta_s)} left` : "",
    transfer.why,
  ].filter(Boolean);
  return h("li", { key: transfer.transfer_id, class: "transfer" },
    h("div", { class: "row" }, h("span", { class: "clip", title: transfer.model }, transfer.model), h("strong", null, percent(share))),
    h("div", { class: "progress", role: "progressbar", "aria-label": `Download of ${transfer.model}`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": share == null ? null : Math.round(share * 100), vars: { "--share": share ?? 0 } }),
    h("div", { class: "row dim" }, badge(transfer.state, STATES[transfer.state]?.[1], STATES[transfer.state]?.[0]), h("span", null, rest.join(", "))),
  );
}

export function models(state) {
  const found = state.facts.models ?? [];
  if (!found.length) return [h("p", { class: "empty" }, "No model is on this machine yet.")];
  const marks = (model) => [model.leases ? "in use" : "", model.pinned ? "pinned" : "", model.current ? "" : "older"].filter(Boolean).join(", ");
  return [
    h("table", null,
      h("thead", null, h("tr", null, ["Model", "Size", ""].map((name) => h("th", { scope: "col" }, name || h("span", { class: "unseen" }, "Use"))))),
      h("tbody", null, found.map((model) => h("tr", { key: model.model + model.revision },
        h("td", null, h("span", { class: "clip", title: model.model }, model.model), h("span", { class: "dim mono" }, model.revision.slice(0, 10))),
        h("td", { class: "num" }, size(model.size_bytes)),
        h("td", { class: "dim" }, marks(model)),
      ))),
    ),
  ];
}

export function tree(state) {
  const root = state.facts.tree;
  return root?.path ? [h("ul", { class: "tree" }, branch(root))] : [h("p", { class: "empty" }, "Not known yet.")];
}

/* What the agent itself costs. */
export function cost(state) {
  const agent = state.facts.snapshot?.agent ?? {};
  return [
    agent.rss_bytes != null && `The agent takes ${size(agent.rss_bytes)}`,
    agent.cpu_cores != null && `${percent(agent.cpu_cores)} of a processor`,
    agent.threads != null && `${agent.threads} threads`,
  ].filter(Boolean).join(", ");
}

function branch(node) {
  const name = node.path.split("/").at(-1);
  const notes = [
    node.restarts_total ? `${node.restarts_total} restart${node.restarts_total === 1 ? "" : "s"}` : "",
    node.mailbox_depth > 10 ? `${node.mailbox_depth} messages wait` : "",
    node.next_restart_in_s != null ? `again in ${span(node.next_restart_in_s)}` : "",
  ].filter(Boolean);
  return h("li", { key: node.path },
    h("div", { class: "leaf" },
      badge(node.state, name),
      h("span", { class: "dim" }, node.state === "running" ? "" : words(node.state)),
      notes.length > 0 && h("span", { class: "marked" }, notes.join(", ")),
      node.restarts_total > 0 && node.last_reason && h("span", { class: "dim clip last", title: node.last_reason }, node.last_reason),
    ),
    node.children?.length ? h("ul", null, node.children.map(branch)) : null,
  );
}

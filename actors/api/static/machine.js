// GPUs and the host as small multiples: a figure, a meter where there is a whole, and the past.

import { chart } from "./charts.js";
import { h } from "./dom.js";
import { DASH, count, part, percent, rate, size } from "./format.js";
import { icon } from "./icons.js";

const MIB = 1 << 20;
const HIGH = 0.9;

export function gpus(state) {
  const names = Object.keys(state.facts.snapshot?.gpus ?? {});
  return names.map((uuid, index) => gpu(state, uuid, index));
}

function gpu(state, uuid, index) {
  const figures = state.facts.snapshot.gpus[uuid];
  const used = figures.memory_total_bytes ? figures.memory_used_bytes / figures.memory_total_bytes : null;
  const series = (name) => `gpu.${uuid}.${name}`;
  return h("article", { key: uuid, class: "card gpu", "aria-label": `GPU ${index}` },
    h("header", null,
      h("div", null, h("h3", null, `GPU ${index}`), h("p", { class: "dim clip", title: uuid }, figures.name ?? uuid)),
      h("div", { class: "flags" }, flags(figures)),
    ),
    h("div", { class: "pair" },
      metered("Utilization", percent(figures.utilization), figures.utilization, "data"),
      metered("Memory", `${percent(used)}`, used, "data-2", size(figures.memory_used_bytes), used > 0.98),
    ),
    chart(state.past, {
      title: `GPU ${index}`,
      lines: [
        { name: series("utilization"), label: "utilization", format: percent },
        { name: series("memory"), label: "memory", format: percent, dash: true },
      ],
      top: 1,
      fixed: true,
    }),
    h("footer", { class: "dim" },
      h("span", null, figures.temperature_c == null ? DASH : `${Math.round(figures.temperature_c)} °C`),
      h("span", null, figures.power_w == null ? DASH : `${Math.round(figures.power_w)} W${figures.power_limit_w ? ` of ${Math.round(figures.power_limit_w)}` : ""}`),
      figures.clock_sm_mhz != null && h("span", null, `${count(figures.clock_sm_mhz)} MHz`),
      owners(figures),
    ),
  );
}

function flags(figures) {
  const hot = figures.slowdown_c && figures.temperature_c >= figures.slowdown_c - 5;
  const found = [
    figures.lost && ["bad", "lost"],
    figures.throttle_thermal && ["warn", "slowed for heat"],
    figures.throttle_brake && ["bad", "power brake"],
    hot && !figures.throttle_thermal && ["warn", "hot"],
    figures.ecc_uncorrectable > 0 && ["bad", `${figures.ecc_uncorrectable} ECC errors`],
    figures.remap_failure && ["bad", "row remap failed"],
    figures.remap_pending && ["warn", "row remap pending"],
  ].filter(Boolean);
  return found.map(([name, text]) => h("span", { class: `badge ${name}` }, icon(name), h("span", null, text)));
}

function owners(figures) {
  const found = Object.entries(figures.memory_by_engine ?? {}).filter(([name]) => name !== "-");
  return found.map(([name, bytes]) => h("span", null, `${name} ${size(bytes)}`));
}

function metered(term, text, share, kind, more, marked = false) {
  const known = typeof share === "number";
  return h("div", null,
    h("p", { class: "term" }, term),
    h("p", { class: marked ? "value marked" : "value" }, text, more && h("small", null, more)),
    h("div", { class: `meter ${kind}`, role: "meter", "aria-label": term, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": known ? Math.round(share * 100) : 0, "aria-valuetext": text, vars: { "--share": known ? share : 0 } }),
  );
}

export function host(state) {
  const figures = state.facts.snapshot?.host;
  if (!figures) return [h("p", { class: "empty" }, "No sample yet.")];
  const total = figures["memory.total_bytes"];
  const used = total == null ? null : total - figures["memory.available_bytes"];
  const share = (value) => percent(value);
  const mib = (value) => rate(value * MIB);
  const axis = (value) => (value >= 1024 ? `${count(value / 1024)} G` : value >= 1 || value === 0 ? `${count(value)} M` : `${Math.round(value * 1024)} K`);
  const two = (one, other, name, second) => [{ ...line(one, name, mib), axis }, { ...line(other, second, mib), dash: true }];
  return [
    tile(state, "Processors", percent(figures["cpu.busy"]), `load ${count(figures.load1)}`, figures["cpu.busy"], [line("cpu", "busy", share)], 1, true),
    tile(state, "Memory", percent(used == null ? null : used / total), part(used, total), used == null ? null : used / total, [line("memory", "used", share)], 1, true),
    tile(state, "Network", rate(figures["net.received_bytes_per_s"]), legend("in", "out", rate(figures["net.sent_bytes_per_s"])), null, two("received", "sent", "in", "out"), 0.1),
    tile(state, "Disk traffic", rate(figures["disk.read_bytes_per_s"]), legend("read", "written", rate(figures["disk.written_bytes_per_s"])), null, two("read", "written", "read", "written"), 0.1),
  ];
}

const legend = (first, second, value) => [h("i", { class: "key" }), first, h("i", { class: "key dash" }), `${value} ${second}`];
const line = (name, label, format) => ({ name: `host.${name}`, label, format });

function tile(state, title, value, more, share, lines, top, fixed = false) {
  return h("article", { key: title, class: "card tile", "aria-label": title },
    h("header", null, h("h3", null, title), share > HIGH && h("span", { class: "badge warn" }, icon("warn"), h("span", null, "high"))),
    h("p", { class: "big" }, value, h("small", null, more)),
    chart(state.past, { title, lines, top, fixed }),
  );
}

export function strain(state) {
  const { snapshot } = state.facts;
  if (!snapshot) return null;
  const pressures = [["processors", "cpu.some"], ["memory", "memory.some"], ["disks", "io.some"]]
    .map(([label, name]) => [label, snapshot.host?.[`pressure.${name}`]])
    .filter(([, value]) => value != null);
  const disks = Object.entries(snapshot.disks ?? {});
  if (!disks.length && !pressures.length) return null;
  return h("div", { key: "disks", class: "card disks" }, [
    ...disks.map(([path, disk]) => h("div", { key: path, class: "disk" },
      h("div", { class: "row" }, h("span", { class: "mono clip", title: path }, path), disk.hung ? h("span", { class: "badge bad" }, icon("bad"), "does not answer") : h("span", null, `${size(disk.free_bytes)} free of ${size(disk.total_bytes)}`)),
      h("div", { class: `meter ${disk.used_share > 0.85 ? "warn" : "data"}`, role: "meter", "aria-label": `Disk of ${path}`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round((disk.used_share ?? 0) * 100), "aria-valuetext": `${percent(disk.used_share)} used${disk.used_share > 0.85 ? ", nearly full" : ""}`, vars: { "--share": disk.used_share ?? 0 } }),
    )),
    pressures.length > 0 && h("p", { key: "pressure", class: "dim" }, "Time lost waiting, last minute: ", pressures.map(([label, value]) => `${label} ${percent(value)}`).join(", ")),
  ]);
}

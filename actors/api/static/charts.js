// The past of every series, and the drawings of it. A slot without a sample is null and stays a gap.

import { h } from "./dom.js";
import { DASH, clock } from "./format.js";

const HEIGHT = 84;
const SYNC = "time";

export class Past {
  constructor(span) {
    this.span = span;
    this.step = 0;
    this.xs = [];
    this.series = new Map();
    this.version = 0;
  }

  async load() {
    const answer = await fetch(`/v1/history?span=${this.span}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(`history: ${answer.status}`);
    const found = await answer.json();
    const slots = Math.max(0, ...Object.values(found.series).map((values) => values.length));
    this.step = found.step_s;
    this.xs = Array.from({ length: slots }, (_, index) => found.begins_at + index * found.step_s);
    this.series = new Map(Object.entries(found.series));
    this.version += 1;
  }

  push(at, values) {
    if (!this.xs.length) return this.begin(at, values);
    const missing = Math.floor((at - this.xs.at(-1)) / this.step);
    if (missing < 0) return;
    for (let index = 0; index < Math.min(missing, this.xs.length); index += 1) {
      this.xs.push(this.xs.at(-1) + this.step);
      this.xs.shift();
      for (const one of this.series.values()) {
        one.push(null);
        one.shift();
      }
    }
    for (const [name, value] of Object.entries(values)) {
      if (!this.series.has(name)) this.series.set(name, new Array(this.xs.length).fill(null));
      this.series.get(name)[this.xs.length - 1] = value;
    }
    this.version += 1;
  }

  begin(at, values) {
    if (!this.step) return;
    const slots = Math.round((this.span === "24h" ? 86_400 : 900) / this.step);
    this.xs = Array.from({ length: slots }, (_, index) => at - (slots - 1 - index) * this.step);
    this.push(at, values);
  }

  of(name) {
    return this.series.get(name) ?? new Array(this.xs.length).fill(null);
  }

  has(name) {
    return this.series.get(name)?.some((value) => value != null) ?? false;
  }

  last(name) {
    return this.series.get(name)?.at(-1) ?? null;
  }
}

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/* `lines`: [{name, label, format, dash?}], the first is filled; `top`: the fixed upper end, or the least it may be. */
export function chart(past, { title, lines, top, fixed = false, height = HEIGHT }) {
  const theme = css("--scheme");
  const sign = `${past.span} ${theme} ${lines.map((line) => line.name).join()}`;
  const own = (element, view) => {
    if (view?.sign !== sign) {
      view?.destroy();
      view = new View(element, { past, lines, top, fixed, height, sign });
    }
    view.update(past);
    return view;
  };
  return h("div", { class: "chart", role: "img", "aria-label": spoken(past, title, lines), vars: { "--h": `${height}px` }, own });
}

function spoken(past, title, lines) {
  const over = past.span === "24h" ? "last 24 hours" : "last 15 minutes";
  const parts = lines.map(({ name, label, format }) => {
    const values = past.of(name).filter((value) => value != null);
    if (!values.length) return `${label} is not known`;
    return `${label} now ${format(past.last(name))}, least ${format(Math.min(...values))}, most ${format(Math.max(...values))}`;
  });
  return `${title}, ${over}: ${parts.join("; ")}`;
}

class View {
  constructor(element, { past, lines, top, fixed, height, sign }) {
    Object.assign(this, { element, lines, sign, height, version: -1 });
    this.readout = document.createElement("div");
    this.readout.className = "readout";
    this.plot = new window.uPlot(this.options(past, top, fixed), this.data(past), element);
    element.append(this.readout);
    this.observer = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width && width !== this.plot.width) this.plot.setSize({ width, height: this.height });
    });
    this.observer.observe(element);
  }

  data(past) {
    return [past.xs, ...this.lines.map((line) => past.of(line.name))];
  }

  update(past) {
    if (past.version === this.version) return;
    this.version = past.version;
    this.plot.setData(this.data(past));
  }

  options(past, top, fixed) {
    const strokes = [css("--data"), css("--data-2")];
    const muted = css("--muted");
    const grid = { stroke: css("--grid"), width: 1 };
    const font = `10px ${css("--font")}`;
    const label = (at) => clock(at).slice(0, 5);
    const most = top ?? 1;
    return {
      width: this.element.clientWidth || 280,
      height: this.height,
      padding: [6, 14, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 5 }, sync: { key: SYNC }, drag: { x: false, y: false } },
      scales: {
        x: { time: true },
        y: { range: (_, __, max) => [0, fixed ? most : Math.max(most, nice(max ?? 0))] },
      },
      axes: [
        { stroke: muted, font, size: 18, gap: 3, space: 64, grid: { show: false }, ticks: { show: false }, values: (_, all) => all.map(label) },
        {
          stroke: muted, font, size: 42, gap: 4, grid, ticks: { show: false },
          splits: (_, __, min, max) => [min, (min + max) / 2, max],
          values: (_, all) => all.map(this.lines[0].axis ?? this.lines[0].format),
        },
      ],
      series: [
        {},
        ...this.lines.map((line, index) => ({
          stroke: strokes[index], width: past.span === "24h" ? 1 : 1.5, dash: line.dash ? [4, 3] : undefined, points: { show: false },
          fill: index === 0 ? css("--data-fill") : undefined,
        })),
      ],
      hooks: { setCursor: [(plot) => this.point(plot.cursor.idx)] },
    };
  }

  point(index) {
    const at = index == null ? null : this.plot.data[0][index];
    if (at == null) {
      this.readout.textContent = "";
      return;
    }
    const parts = this.lines.map((line, number) => {
      const value = this.plot.data[number + 1][index];
      const text = value == null ? DASH : line.format(value);
      return this.lines.length > 1 ? `${line.label} ${text}` : text;
    });
    this.readout.textContent = `${clock(at)}  ${parts.join("  ")}`;
  }

  destroy() {
    this.observer.disconnect();
    this.plot.destroy();
    this.readout.remove();
  }
}

function nice(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((end) => end >= value * 1.02) ?? 10 * power;
}

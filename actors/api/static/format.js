// Figures for people. What is not known is a dash, never a zero.

export const DASH = "–";

const known = (value) => typeof value === "number" && Number.isFinite(value);

export function percent(share) {
  if (!known(share)) return DASH;
  const value = share * 100;
  return `${value > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} %`;
}

export function count(value) {
  if (!known(value)) return DASH;
  if (Math.abs(value) >= 100_000) return `${(value / 1000).toFixed(0)}k`;
  if (Math.abs(value) >= 10_000) return `${(value / 1000).toFixed(1)}k`;
  return value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);
}

export function size(bytes) {
  if (!known(bytes)) return DASH;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (Math.abs(bytes) < 1024) return `${unit === "B" || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${unit}`;
    bytes /= 1024;
  }
  return `${bytes.toFixed(1)} TiB`;
}

export const part = (some, all) => (known(all) ? `${size(some)} of ${size(all)}` : DASH);

export const rate = (bytes) => (known(bytes) ? `${size(bytes)}/s` : DASH);

export function seconds(value) {
  if (!known(value)) return DASH;
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  return value < 10 ? `${value.toFixed(2)} s` : `${value.toFixed(1)} s`;
}

export function span(value) {
  if (!known(value)) return DASH;
  const s = Math.max(0, Math.round(value));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

const two = (value) => String(value).padStart(2, "0");

export function clock(at) {
  if (!known(at)) return DASH;
  const date = new Date(at * 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export function stamp(at, now) {
  if (!known(at)) return DASH;
  const date = new Date(at * 1000);
  const today = new Date(now * 1000).toDateString() === date.toDateString();
  return today ? clock(at) : `${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(at)}`;
}

export const words = (name) => String(name ?? "").replaceAll("_", " ");

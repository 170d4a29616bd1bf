/** Texts of models, made visible and harmless, and searched. */

/** As `trio_beam.core.printable`: controls, line separators, marks of direction, halves of characters. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|[\ud800-\udfff]/gu;
/** Characters that are shown at once; the rest on demand. */
export const SHOWN = 20_000;

/** Characters that would hide or turn text around, as escapes; those in `keep` stay. */
export function visible(text: string, keep = ""): string {
  return text.replace(UNSAFE, (one) => (keep.includes(one) ? one : escaped(one)));
}

function escaped(one: string): string {
  const known: Record<string, string> = { "\n": "⏎", "\t": "⇥", "\r": "\\r" };
  const code = one.charCodeAt(0);
  return known[one] ?? (code < 256 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`);
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}

/** The text in one line of at most so many characters. */
export function oneLine(text: string, most: number): string {
  if (text.length <= most) return visible(text);
  return `${visible(text.slice(0, most).replace(/[\ud800-\udbff]$/, ""))}…`; // not half a character
}

function pattern(query: string): RegExp {
  return new RegExp(query.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu");
}

export function matches(text: string, query: string): boolean {
  return query !== "" && pattern(query).test(text);
}

/** Where a text has what was looked for: from and until. */
export function places(text: string, query: string): [number, number][] {
  if (!query) return [];
  return [...text.matchAll(pattern(query))].map((one) => [one.index, one.index + one[0].length]);
}

/** A part of a text, from a place in it, with what was looked for in the whole marked. */
export function Marked({ text, from = 0, found }: { text: string; from?: number; found: [number, number][] }) {
  const parts = [];
  let at = from;
  for (const [start, end] of found) {
    const [low, high] = [Math.max(start, from), Math.min(end, from + text.length)];
    if (low >= high) continue;
    parts.push(text.slice(at - from, low - from), <mark key={low}>{text.slice(low - from, high - from)}</mark>);
    at = high;
  }
  return <>{parts}{text.slice(at - from)}</>;
}

export function fixed(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "∞" : "−∞";
  return value.toFixed(digits).replace("-", "−");
}

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : value.toLocaleString("en");
}

export function seconds(value: number): string {
  if (value >= 120) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  return value >= 10 ? `${value.toFixed(1)} s` : value >= 0.1 ? `${value.toFixed(2)} s` : `${Math.round(value * 1000)} ms`;
}

export function percent(value: number): string {
  return `${(100 * value).toFixed(value > 0 && value < 0.1 ? 1 : 0)}%`;
}

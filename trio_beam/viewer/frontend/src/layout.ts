/** Where the beams stand, from left to right, and which of them are in view. */

import { bisector } from "d3-array";
import { hierarchy, type HierarchyNode } from "d3-hierarchy";
import type { Beam, Search } from "./data";

export type Size = "cards" | "lines" | "dots";

export interface Measures {
  column: number;
  row: number;
  width: number;
  height: number;
}

/** In pixels: distances of columns and rows, and how large a beam is. */
const MEASURES: Record<Size, Measures> = {
  cards: { column: 262, row: 66, width: 214, height: 58 },
  lines: { column: 212, row: 26, width: 180, height: 22 },
  dots: { column: 56, row: 12, width: 9, height: 9 },
};
const MARGIN = 16;

/** The measures, with narrower columns if all of them then fit into a width, or wider ones if there is room. */
function fitted(size: Size, columns: number, room: number): Measures {
  const usual = MEASURES[size];
  const each = Math.floor((room - ROOT[size] - 2 * MARGIN) / Math.max(columns, 1));
  if (each < 0.72 * usual.column) return usual;
  const column = Math.min(each, 1.4 * usual.column);
  return { ...usual, column, width: size === "dots" ? usual.width : column - (usual.column - usual.width) };
}

export interface Placed {
  beam: Beam;
  /** Of the left edge, and of the middle. */
  x: number;
  y: number;
}

export interface Layout {
  measures: Measures;
  width: number;
  height: number;
  /** Of the empty beam. */
  root: { x: number; y: number };
  byNumber: Map<number, Placed>;
  /** By depth, from the top down. */
  columns: Placed[][];
}

export function layOut(search: Search, size: Size, withDropped: boolean, room: number): Layout {
  const top = hierarchy(search.root, (beam) => children(search, beam, withDropped));
  const measures = fitted(size, top.height, room);
  const rows = rowsOf(top);
  const y = (row: number) => row * measures.row + measures.height / 2 + MARGIN;
  const columns: Placed[][] = [];
  const byNumber = new Map<number, Placed>();
  let last = 0;
  top.each((node) => {
    const row = rows.get(node)!;
    last = Math.max(last, row);
    if (!node.depth) return; // the empty beam is drawn as the point where all begin
    const placed = { beam: node.data, x: (node.depth - 1) * measures.column + MARGIN + ROOT[size], y: y(row) };
    byNumber.set(node.data.number, placed);
    (columns[node.depth - 1] ??= []).push(placed);
  });
  for (const column of columns) column.sort((one, other) => one.y - other.y);
  return {
    measures,
    columns,
    byNumber,
    root: { x: 8, y: y(0) },
    width: Math.max(0, columns.length - 1) * measures.column + measures.width + 2 * MARGIN + ROOT[size],
    height: last * measures.row + measures.height + 2 * MARGIN,
  };
}

/**
 * Rows from the top. A beam stands in the row of the first that continues it, so that the way to the answer is straight
 * and at the top. (d3's tidy tree stands in the middle of all that continue it, and among a hundred dropped beams the
 * beginning of the answer would be far from its end.) The others follow below, as close as each column allows.
 */
function rowsOf(top: HierarchyNode<Beam>): Map<HierarchyNode<Beam>, number> {
  const rows = new Map<HierarchyNode<Beam>, number>();
  const free: number[] = [];
  const waiting: [HierarchyNode<Beam>, number][] = [[top, 0]];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const line = [next[0]];
    for (let one = next[0].children?.[0]; one; one = one.children?.[0]) line.push(one);
    const row = Math.max(next[1], ...line.map((one) => free[one.depth] ?? 0));
    for (const one of line) {
      rows.set(one, row);
      free[one.depth] = row + 1;
      // The stack turns them round: what is deepest, and first among its siblings, comes first.
      for (const other of (one.children ?? []).slice(1).reverse()) waiting.push([other, row + 1]);
    }
  }
  return rows;
}

/** Room on the left, where all lines begin. */
const ROOT: Record<Size, number> = { cards: 22, lines: 22, dots: 16 };

function children(search: Search, beam: Beam, withDropped: boolean): Beam[] {
  const shown = withDropped ? beam.children : beam.children.filter((one) => search.survives.has(one.number));
  const rank = (one: Beam) => (search.answerPath.has(one.number) ? 2 : search.survives.has(one.number) ? 1 : 0);
  return [...shown].sort(
    (one, other) => rank(other) - rank(one) || (other.score ?? -Infinity) - (one.score ?? -Infinity) || one.number - other.number,
  );
}

export interface Window {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

const byY = bisector((placed: Placed) => placed.y);

/** The beams whose boxes touch a window. */
export function inWindow(layout: Layout, window: Window): Placed[] {
  const { height } = layout.measures;
  const found: Placed[] = [];
  for (const column of columnsIn(layout, window, 0)) {
    const from = byY.left(column, window.top - height);
    const to = byY.right(column, window.bottom + height);
    for (let place = from; place < to; place++) found.push(column[place]!);
  }
  return found;
}

/** The beams whose lines to what they continue may touch a window. */
export function linkedInWindow(layout: Layout, window: Window): Placed[] {
  const found: Placed[] = [];
  for (const column of columnsIn(layout, window, 1)) {
    for (const placed of column) {
      const parent = placed.beam.parent && layout.byNumber.get(placed.beam.parent.number);
      const other = parent ? parent.y : layout.root.y;
      if (Math.max(placed.y, other) >= window.top && Math.min(placed.y, other) <= window.bottom) found.push(placed);
    }
  }
  return found;
}

function columnsIn(layout: Layout, window: Window, more: number): Placed[][] {
  const { column, width } = layout.measures;
  const from = Math.max(0, Math.floor((window.left - width - MARGIN - 22) / column));
  return layout.columns.slice(from, Math.ceil(window.right / column) + 1 + more);
}

/** Where the beams stand: d3's tidy tree, from left to right, and which of them are in view. */

import { bisector } from "d3-array";
import { hierarchy, tree, type HierarchyPointNode } from "d3-hierarchy";
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
  if (size === "dots") return usual;
  const gap = usual.column - usual.width;
  const each = Math.floor((room - ROOT[size] - 2 * MARGIN + gap) / Math.max(columns, 1));
  if (each < 0.72 * usual.column) return usual;
  const column = Math.min(each, 1.4 * usual.column);
  return { ...usual, column, width: column - gap };
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
  byNumber: Map<number, Placed>;
  /** By depth, from the top down. */
  columns: Placed[][];
}

export function layOut(search: Search, size: Size, withDropped: boolean, room: number): Layout {
  const top = hierarchy(search.root, (beam) => children(search, beam, withDropped));
  const measures = fitted(size, top.height, room);
  const laid = tree<Beam>()
    .nodeSize([measures.row, measures.column])
    .separation((one, other) => (one.parent === other.parent ? 1 : 1.25))(top);
  let low = 0;
  let high = 0;
  laid.each((node) => {
    low = Math.min(low, node.x);
    high = Math.max(high, node.x);
  });
  const columns: Placed[][] = [];
  const byNumber = new Map<number, Placed>();
  laid.each((node: HierarchyPointNode<Beam>) => {
    if (!node.depth) return; // the empty beam is not drawn
    const x = (node.depth - 1) * measures.column + MARGIN + ROOT[size];
    const placed = { beam: node.data, x, y: node.x - low + measures.height / 2 + MARGIN };
    byNumber.set(node.data.number, placed);
    (columns[node.depth - 1] ??= []).push(placed);
  });
  for (const column of columns) column.sort((one, other) => one.y - other.y);
  const right = (columns.length - 1) * measures.column + measures.width;
  return {
    measures,
    columns,
    byNumber,
    width: Math.max(right, 0) + 2 * MARGIN + ROOT[size],
    height: high - low + measures.height + 2 * MARGIN,
  };
}

/** Room on the left, where all lines begin. */
const ROOT: Record<Size, number> = { cards: 22, lines: 22, dots: 16 };

function children(search: Search, beam: Beam, withDropped: boolean): Beam[] {
  const shown = withDropped ? beam.children : beam.children.filter((one) => search.survives.has(one.number));
  return [...shown].sort(
    (one, other) => (other.score ?? -Infinity) - (one.score ?? -Infinity) || one.number - other.number,
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
      const other = parent ? parent.y : layout.height / 2;
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

/** The tree of beams: only what is in view is in the document. */

import { linkHorizontal } from "d3-shape";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Beam, Search } from "./data";
import { inWindow, layOut, linkedInWindow, type Layout, type Placed, type Size, type Window } from "./layout";
import { fixed, Marked, oneLine, places, seconds, visible } from "./text";
import { useWindow } from "./virtual";

export type Mark = "only" | "changed";

interface Props {
  search: Search;
  size: Size;
  withDropped: boolean;
  selected: number;
  query: string;
  found: ReadonlySet<number>;
  marks?: ReadonlyMap<number, Mark>;
  label: string;
  name?: string;
  onSelect: (beam: number) => void;
}

const link = linkHorizontal<unknown, [number, number]>();
const ORDER = ["dropped", "kept", "answer"] as const;

export function TreeView(props: Props) {
  const { search, size, withDropped, selected } = props;
  const box = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState(940);
  const layout = useMemo(() => layOut(search, size, withDropped, room), [search, size, withDropped, room]);
  const seen = useWindow(box, [layout]);
  const [last, setLast] = useState(-1);
  const placed = nearest(layout, search, selected);

  useLayoutEffect(() => {
    const element = box.current!;
    const measure = () => setRoom(element.clientWidth);
    measure();
    const resized = new ResizeObserver(measure);
    resized.observe(element);
    return () => resized.disconnect();
  }, []);
  useLayoutEffect(() => {
    if (!box.current || !placed || placed.beam.number === last) return;
    show(box.current, layout, placed, last === -1);
    setLast(placed.beam.number);
  }, [placed, layout]);

  const shown = inWindow(layout, seen);
  if (placed && !shown.includes(placed)) shown.push(placed);
  const name = props.name ?? "beam";
  const onKeyDown = (event: KeyboardEvent) => {
    const next = neighbour(layout, search, selected, event.key);
    if (next === null || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    props.onSelect(next);
  };
  return (
    <div
      ref={box}
      class={`tree size-${size}`}
      role="tree"
      aria-label={props.label}
      tabIndex={0}
      aria-activedescendant={placed && `${name}-${placed.beam.number}`}
      onKeyDown={onKeyDown}
      data-shown={shown.length}
    >
      <div class="columns" role="presentation" style={{ width: `${layout.width}px` }}>
        {headers(search, layout, seen)}
      </div>
      <div class="plane" role="presentation" style={{ width: `${layout.width}px`, height: `${layout.height}px` }}>
        <Links search={search} layout={layout} seen={seen} />
        {shown.map((one) => (
          <Card key={one.beam.number} placed={one} name={name} {...props} layout={layout} />
        ))}
      </div>
    </div>
  );
}

/** The beam, or the last before it that is drawn. */
function nearest(layout: Layout, search: Search, selected: number): Placed | undefined {
  for (let one = search.beams.get(selected) ?? null; one; one = one.parent) {
    const placed = layout.byNumber.get(one.number);
    if (placed) return placed;
  }
  return layout.columns[0]?.[0];
}

function Links({ search, layout, seen }: { search: Search; layout: Layout; seen: Window }) {
  const { width } = layout.measures;
  const paths = { answer: "", kept: "", dropped: "" };
  for (const { beam, x, y } of linkedInWindow(layout, seen)) {
    const parent = beam.parent && layout.byNumber.get(beam.parent.number);
    const from: [number, number] = parent ? [parent.x + width, parent.y] : [layout.root.x, layout.root.y];
    paths[kindOf(search, beam)] += link({ source: from, target: [x, y] }) ?? "";
  }
  const [w, h] = [seen.right - seen.left, seen.bottom - seen.top];
  return (
    <svg
      class="links"
      aria-hidden="true"
      width={w}
      height={h}
      viewBox={`${seen.left} ${seen.top} ${w} ${h}`}
      style={{ transform: `translate(${seen.left}px, ${seen.top}px)` }}
    >
      {ORDER.map((kind) => <path key={kind} class={`link ${kind}`} d={paths[kind]} />)}
      <circle class="root" cx={layout.root.x} cy={layout.root.y} r={4.5} />
    </svg>
  );
}

function kindOf(search: Search, beam: Beam): "answer" | "kept" | "dropped" {
  if (search.answerPath.has(beam.number)) return "answer";
  return search.survives.has(beam.number) ? "kept" : "dropped";
}

interface CardProps extends Props {
  placed: Placed;
  layout: Layout;
  name: string;
}

function Card({ placed, search, size, selected, query, found, marks, layout, name, onSelect }: CardProps) {
  const { beam, x, y } = placed;
  const { width, height } = layout.measures;
  const mark = marks?.get(beam.number);
  const classes = [
    "beam", `fate-${beam.fate}`, kindOf(search, beam),
    beam.number === selected ? "selected" : "",
    found.has(beam.number) ? "found" : "",
    mark ? `mark-${mark}` : "",
  ];
  const text = wordsOf(beam, size);
  const peers = beam.parent?.children ?? [];
  return (
    <div
      id={`${name}-${beam.number}`}
      class={classes.filter(Boolean).join(" ")}
      role="treeitem"
      aria-level={beam.depth}
      aria-setsize={peers.length}
      aria-posinset={peers.indexOf(beam) + 1}
      aria-selected={beam.number === selected}
      aria-label={size === "dots" ? `${text}, ${short(beam)}` : undefined}
      title={`${oneLine(beam.fullText().slice(-300), 300)}\n${visible(beam.why) || short(beam)}`}
      style={{ transform: `translate(${x}px, ${y - height / 2}px)`, width: `${width}px`, height: `${height}px` }}
      onClick={() => onSelect(beam.number)}
    >
      {size !== "dots" && <span class="words"><Marked text={text} found={places(text, query)} /></span>}
      {size === "cards" && (
        <span class="facts">
          <b>{fixed(beam.score)}</b>
          <span>{mark === "only" ? "only here" : short(beam)}</span>
        </span>
      )}
    </div>
  );
}

function wordsOf(beam: Beam, size: Size): string {
  if (beam.text === null) return `(${beam.length} tokens)`;
  if (beam.text === "") return beam.why.includes("ended") ? "(end of text)" : "(no text)";
  if (size === "cards") return oneLine(beam.text, 110);
  const common = commonStart(beam.parent!);
  return oneLine(`${common ? "…" : ""}${beam.text.slice(common)}`, 60);
}

const starts = new WeakMap<Beam, number>();

/** How much the texts of all children have in common at their start, in whole words, if that is much. */
function commonStart(parent: Beam): number {
  const known = starts.get(parent);
  if (known !== undefined) return known;
  const [first = "", ...others] = new Set(parent.children.map((one) => one.text ?? ""));
  let length = 0;
  while (length < first.length && others.every((one) => one[length] === first[length])) length++;
  const words = others.length ? first.slice(0, length).lastIndexOf(" ") + 1 : 0;
  const found = words < 12 ? 0 : words;
  starts.set(parent, found);
  return found;
}

/** What became of a beam, in a word or two. */
export function short(beam: Beam): string {
  const place = / place (\d+) of (\d+)/.exec(beam.why);
  if (beam.fate === "dropped" && place) return `dropped, ${place[1]} of ${place[2]}`;
  if (beam.fate === "result") return `result ${beam.place}`;
  if (beam.fate === "answer") return "the answer";
  const words: Partial<Record<Beam["fate"], string>> = { unscored: "not scored", duplicate: "duplicate", part: "" };
  return words[beam.fate] ?? beam.fate;
}

function headers(search: Search, layout: Layout, seen: Window) {
  const { column, width } = layout.measures;
  const from = Math.max(0, Math.floor(seen.left / column) - 1);
  const to = Math.min(layout.columns.length, Math.ceil(seen.right / column) + 1);
  const found = [];
  for (let depth = from; depth < to; depth++) {
    // Chains and particles that move cut blocks into parts.
    const isRound = !search.isChains && layout.columns[depth]!.every(({ beam }) => !beam.round || beam.round === depth + 1);
    const round = isRound ? search.data.rounds.find((one) => one.round === depth + 1) : undefined;
    const first = layout.columns[depth]![0]!;
    const kept = round?.active !== undefined ? `${round.candidates ?? 0} → ${round.active}` : "";
    const time = round?.end != null ? seconds(round.end - round.at) : "";
    found.push(
      <span key={depth} style={{ transform: `translateX(${first.x}px)`, width: `${Math.max(width, 40)}px` }}>
        <b>{layout.measures.width < 20 ? depth + 1 : `${isRound ? "Round" : "Part"} ${depth + 1}`}</b>
        {layout.measures.width >= 20 && <small>{[kept, time].filter(Boolean).join(" · ")}</small>}
      </span>,
    );
  }
  return found;
}

/** The beam that an arrow key leads to. */
function neighbour(layout: Layout, search: Search, selected: number, key: string): number | null {
  const placed = nearest(layout, search, selected);
  if (key === "Home") return search.answer?.number ?? null;
  if (!placed) return null;
  const column = layout.columns[placed.beam.depth - 1]!;
  const place = column.indexOf(placed);
  switch (key) {
    case "ArrowUp": return column[place - 1]?.beam.number ?? selected;
    case "ArrowDown": return column[place + 1]?.beam.number ?? selected;
    case "ArrowLeft": return placed.beam.parent?.number || selected;
    case "ArrowRight": return firstChild(layout, search, placed.beam) ?? selected;
    default: return null;
  }
}

function firstChild(layout: Layout, search: Search, beam: Beam): number | null {
  const shown = beam.children.filter((one) => layout.byNumber.has(one.number));
  const best = shown.find((one) => search.answerPath.has(one.number)) ?? shown.find((one) => search.survives.has(one.number)) ?? shown[0];
  return best?.number ?? null;
}

/** Scroll until a beam is in view. */
function show(box: HTMLElement, layout: Layout, placed: Placed, first: boolean): void {
  const { width, height } = layout.measures;
  const head = 40;
  const [w, h] = [box.clientWidth, box.clientHeight - head];
  const left = placed.x + width > box.scrollLeft + w - 20 || placed.x < box.scrollLeft + 10;
  const top = placed.y + height > box.scrollTop + h - 10 || placed.y - height < box.scrollTop + 10;
  if (first) {
    // The way to the answer is at the top. Where it begins, a wide search has nothing else in view.
    if (layout.height > 3 * h && !left) box.scrollLeft = 0;
    else if (layout.height > 3 * h) box.scrollLeft = placed.x + width - w + 30;
    return;
  }
  if (left) box.scrollLeft = placed.x - Math.min(w / 3, 320);
  if (top) box.scrollTop = placed.y - h / 2;
}

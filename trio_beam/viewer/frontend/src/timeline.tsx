/** Every request as a line: when it waited, was sent, sent again, answered or cancelled. */

import { max } from "d3-array";
import { scaleLinear, type ScaleLinear } from "d3-scale";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import type { Attempt, Request, Search } from "./data";
import { seconds, visible } from "./text";
import { useWindow } from "./virtual";

const ROW = 22;
const LABELS = 190;

interface Props {
  search: Search;
  zoom: number;
  selected: number;
  onSelect: (request: number) => void;
}

type Row = { round: number; requests: number; from: number; until: number } | Request;

export function Timeline({ search, zoom, selected, onSelect }: Props) {
  const rows = useMemo(() => rowsOf(search), [search]);
  const box = useRef<HTMLDivElement>(null);
  const seen = useWindow(box, [rows, zoom]);
  const room = Math.max(300, (box.current?.clientWidth ?? 900) - LABELS - 30);
  const width = room * zoom;
  const end = endOf(search);
  const x = scaleLinear([0, end], [0, width]);
  const from = Math.max(0, Math.floor(seen.top / ROW));
  const shown = rows.slice(from, Math.ceil(seen.bottom / ROW));

  useLayoutEffect(() => {
    const place = rows.findIndex((row) => "number" in row && row.number === selected);
    const element = box.current;
    if (!element || place < 0) return;
    const top = place * ROW;
    if (top < element.scrollTop || top + ROW > element.scrollTop + element.clientHeight - 40) {
      element.scrollTop = top - element.clientHeight / 2;
    }
  }, [selected]);

  if (!search.requests.length) {
    const left = search.data.left_out.includes("requests");
    return (
      <p class="empty">
        {left ? "The requests were left out: the page would be too large." : "No requests were recorded: only an endpoint has any."}
      </p>
    );
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const numbers = rows.flatMap((row) => ("number" in row ? [row.number] : []));
    const place = numbers.indexOf(selected);
    const next = { ArrowDown: place + 1, ArrowUp: Math.max(0, place - 1), Home: 0, End: numbers.length - 1 }[event.key];
    if (next === undefined || numbers[next] === undefined) return;
    event.preventDefault();
    onSelect(numbers[next]!);
  };
  return (
    <>
      <Legend />
      <div
        ref={box}
        class="timeline"
        role="listbox"
        aria-label="Requests"
        tabIndex={0}
        aria-activedescendant={selected ? `request-${selected}` : undefined}
        onKeyDown={onKeyDown}
        data-shown={shown.length}
      >
        <div class="axis" role="presentation" style={{ width: `${LABELS + width + 20}px` }}>
          <Axis x={x} width={width} />
        </div>
        <div class="rows" role="presentation" style={{ height: `${rows.length * ROW}px`, width: `${LABELS + width + 20}px` }}>
          <svg class="pauses" aria-hidden="true" width={width} height={rows.length * ROW} style={{ left: `${LABELS}px` }}>
            {search.data.pauses.map(([at, long, why], place) => (
              <rect key={place} class="pause" x={x(at)} width={Math.max(1, x(Math.min(at + long, end)) - x(at))} height="100%">
                <title>{`the server asked for ${seconds(long)}: ${visible(why)}`}</title>
              </rect>
            ))}
          </svg>
          {shown.map((row, place) => (
            <RowView key={"number" in row ? row.number : `round ${row.round}`} search={search} row={row} top={(from + place) * ROW} x={x} end={end} width={width} selected={selected} onSelect={onSelect} />
          ))}
        </div>
      </div>
    </>
  );
}

function rowsOf(search: Search): Row[] {
  const groups = new Map<number, Request[]>();
  for (const one of search.requests) {
    const group = groups.get(one.round);
    if (group) group.push(one);
    else groups.set(one.round, [one]);
  }
  return [...groups].sort(([one], [other]) => one - other).flatMap(([round, requests]) => {
    const from = requests[0]!.from;
    const until = max(requests, (one) => endOfRequest(one) ?? search.data.seconds) ?? from;
    requests.sort((one, other) => one.purpose.localeCompare(other.purpose) || one.rank - other.rank || one.sample - other.sample || one.number - other.number);
    return [{ round, requests: requests.length, from, until }, ...requests];
  });
}

function endOf(search: Search): number {
  const last = search.data.pauses.map(([at]) => at);
  return Math.max(search.data.seconds, ...last, 0.001);
}

function endOfRequest(request: Request): number | null {
  const ends = request.attempts.map((one) => one.ended);
  return ends.includes(null) || !ends.length ? null : Math.max(...(ends as number[]));
}

function Axis({ x, width }: { x: ScaleLinear<number, number>; width: number }) {
  const ticks = x.ticks(Math.max(2, Math.round(width / 110)));
  const format = x.tickFormat(ticks.length);
  return (
    <svg aria-hidden="true" width={width + 20} height={26} style={{ marginLeft: `${LABELS}px` }}>
      {ticks.map((tick) => (
        <g key={tick} transform={`translate(${x(tick)}, 0)`}>
          <line y1={19} y2={26} />
          <text y={14} text-anchor={tick ? "middle" : "start"}>{format(tick)} s</text>
        </g>
      ))}
    </svg>
  );
}

interface RowProps {
  search: Search;
  row: Row;
  top: number;
  x: ScaleLinear<number, number>;
  end: number;
  width: number;
  selected: number;
  onSelect: (request: number) => void;
}

function RowView({ search, row, top, x, end, width, selected, onSelect }: RowProps) {
  if (!("number" in row)) {
    const name = row.round ? `${search.isChains ? "Block" : "Round"} ${row.round}` : "Preparation";
    return (
      <div class="group" role="presentation" style={{ transform: `translateY(${top}px)` }}>
        <span class="name"><b>{name}</b> <small>{row.requests} · {seconds(row.until - row.from)}</small></span>
        <svg aria-hidden="true" width={width} height={ROW}>
          <rect class="span" x={x(row.from)} y={ROW / 2 - 1} height={2} width={Math.max(1, x(row.until) - x(row.from))} />
        </svg>
      </div>
    );
  }
  return (
    <div
      id={`request-${row.number}`}
      class={row.number === selected ? "request selected" : "request"}
      role="option"
      aria-selected={row.number === selected}
      style={{ transform: `translateY(${top}px)` }}
      onClick={() => onSelect(row.number)}
    >
      <span class="name">{nameOf(search, row)}</span>
      <span class="aside">{outcomeOf(row)}</span>
      <svg aria-hidden="true" width={width + 20} height={ROW}>
        {row.waits.map(([from, until, paused], place) => (
          <Bar key={place} kind={paused ? "wait paused" : "wait"} from={x(from)} until={x(until ?? end)} row={0.5} thick={6} />
        ))}
        {row.retries.map(([at, wait], place) => (
          <line key={place} class="retry" x1={x(at)} x2={x(Math.min(at + wait, end))} y1={ROW / 2} y2={ROW / 2} />
        ))}
        {row.attempts.map((one, place) => (
          <Bar key={place} kind={kindOf(one)} from={x(one.sent)} until={x(one.ended ?? end)} row={one.hedge ? 0.74 : row.attempts.some((other) => other.hedge) ? 0.28 : 0.5} thick={row.attempts.some((other) => other.hedge) ? 7 : 12} />
        ))}
      </svg>
    </div>
  );
}

function Bar({ kind, from, until, row, thick }: { kind: string; from: number; until: number; row: number; thick: number }) {
  return <rect class={`bar ${kind}`} x={from} width={Math.max(2, until - from)} y={ROW * row - thick / 2} height={thick} rx={2} />;
}

function kindOf(attempt: Attempt): string {
  const outcome = attempt.ended === null ? "open" : attempt.outcome;
  return attempt.hedge ? `${outcome} hedge` : outcome;
}

export function nameOf(search: Search, request: Request): string {
  if (request.purpose === "prepare") return visible(request.attempts[0]?.path ?? "prepare");
  const what = request.purpose === "expand" ? "" : `${request.purpose}: `;
  return `${what}${search.isChains ? "chain" : "beam"} ${request.rank + 1}${request.sample ? `, sample ${request.sample + 1}` : ""}`;
}

export function outcomeOf(request: Request): string {
  const last = request.attempts.at(-1);
  const parts = [];
  if (!last) parts.push("waiting");
  if (request.retries.length) parts.push(`tried ${request.retries.length + 1} times`);
  if (request.attempts.some((one) => one.hedge)) parts.push("hedged");
  const done = request.attempts.some((one) => one.outcome === "response");
  if (last && !done) parts.push(request.attempts.some((one) => one.ended === null) ? "running" : last.outcome === "cancelled" ? "cancelled" : "failed");
  return parts.join(", ");
}

function Legend() {
  const kinds = [
    ["wait", "waits for a slot"], ["wait paused", "waits for the end of a pause"], ["response", "answered"],
    ["error", "failed"], ["cancelled", "cancelled"], ["response hedge", "hedge"], ["open", "running"],
  ] as const;
  return (
    <ul class="legend" aria-label="Colours">
      {kinds.map(([kind, words]) => (
        <li key={kind}><svg width={18} height={10} aria-hidden="true"><rect class={`bar ${kind}`} width={18} height={10} rx={2} /></svg>{words}</li>
      ))}
      <li><svg width={18} height={10} aria-hidden="true"><line class="retry" x2={18} y1={5} y2={5} /></svg>before it is sent again</li>
    </ul>
  );
}

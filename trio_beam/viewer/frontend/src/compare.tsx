/** Two searches side by side: what differs in how they were run, in what came out, and in the trees. */

import { diffWordsWithSpace } from "diff";
import { useMemo, useState } from "preact/hooks";
import { number, type Beam, type Search } from "./data";
import { useFound } from "./details";
import type { Size } from "./layout";
import { count, fixed, oneLine, seconds, visible } from "./text";
import { short, TreeView, type Mark } from "./tree";

interface Props {
  searches: [Search, Search];
  names: [string, string];
  size: Size;
  withDropped: boolean;
  query: string;
}

/** What is compared at most of two answers: the rest of a diff would take too long. */
const DIFFED = 20_000;

export function Compare({ searches, names, size, withDropped, query }: Props) {
  const pairs = useMemo(() => pair(...searches), searches);
  const [chosen, setChosen] = useState<[number, number]>([searches[0].answer?.number ?? 0, searches[1].answer?.number ?? 0]);
  const found = [useFound(searches[0], query), useFound(searches[1], query)] as const;
  const select = (side: 0 | 1) => (beam: number) => {
    const other = pairs.partners[side].get(beam);
    const both: [number, number] = side ? [other ?? chosen[0], beam] : [beam, other ?? chosen[1]];
    setChosen(both);
  };
  const rows = facts(...searches);
  const answers = searches.map((search) => search.answer?.fullText());
  return (
    <div class="compare">
      <div class="scroll" tabIndex={0} role="region" aria-label="Differences">
        <table class="differences">
          <thead><tr><th>{rows.some((one) => one.differs) || answers[0] !== answers[1] ? "" : "no differences"}</th>{names.map((one, side) => <th key={side}><bdi>{visible(one)}</bdi></th>)}</tr></thead>
          <tbody>
            <Answers searches={searches} />
            {rows.map(({ name, values, differs }) => (
              <tr key={name} class={differs ? "differs" : ""}>
                <th scope="row">{differs && <span class="unequal">≠ </span>}{name}</th>
                {values.map((value, side) => <td key={side}><bdi>{value}</bdi></td>)}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="sides">
        {([0, 1] as const).map((side) => {
          const search = searches[side];
          const beam = search.beams.get(chosen[side]);
          return (
            <section key={side} aria-label={names[side]}>
              <h2><bdi>{visible(names[side])}</bdi> <small>{pairs.words(side)}</small></h2>
              <TreeView
                search={search} size={size} withDropped={withDropped} selected={chosen[side]} query={query}
                found={new Set(found[side])} marks={pairs.marks[side]} label={`Tree of ${names[side]}`} name={side ? "right" : "left"} onSelect={select(side)}
              />
              {beam && beam.number > 0 && (
                <p class="picked"><b>{fixed(beam.score, 4)}</b> {visible(beam.why) || short(beam)}<br /><bdi>{oneLine(beam.fullText(), 600)}</bdi></p>
              )}
            </section>
          );
        })}
      </div>
    </div>
  );
}

interface Pairs {
  /** The same beam on the other side. */
  partners: [Map<number, number>, Map<number, number>];
  marks: [Map<number, Mark>, Map<number, Mark>];
  words: (side: 0 | 1) => string;
}

/** Find the beams that both have: the same texts, block by block. */
function pair(one: Search, other: Search): Pairs {
  const keys = [keysOf(one), keysOf(other)] as const;
  const partners: Pairs["partners"] = [new Map(), new Map()];
  const marks: Pairs["marks"] = [new Map(), new Map()];
  for (const [key, beam] of keys[0]) {
    const same = keys[1].get(key);
    if (same) {
      partners[0].set(beam.number, same.number);
      partners[1].set(same.number, beam.number);
      if (survival(one, beam) !== survival(other, same)) {
        marks[0].set(beam.number, "changed");
        marks[1].set(same.number, "changed");
      }
    } else marks[0].set(beam.number, "only");
  }
  for (const [key, beam] of keys[1]) if (!keys[0].has(key)) marks[1].set(beam.number, "only");
  const words = (side: 0 | 1) => {
    const kinds = [...marks[side].values()];
    const [only, changed] = [kinds.filter((kind) => kind === "only").length, kinds.filter((kind) => kind === "changed").length];
    return `${partners[side].size} beams in both, ${changed} of them with another end; ${only} only here`;
  };
  return { partners, marks, words };
}

function survival(search: Search, beam: Beam): string {
  return search.answerPath.has(beam.number) ? "answer" : search.survives.has(beam.number) ? "kept" : "dropped";
}

function keysOf(search: Search): Map<string, Beam> {
  const found = new Map<string, Beam>();
  const ids = new Map<number, number>([[0, 0]]);
  for (const beam of search.beams.values()) {
    if (!beam.number) continue;
    const own = beam.text ?? `${beam.length} ${beam.logprob}`;
    const base = `${hash(String(ids.get(beam.parent?.number ?? 0)))} ${own}`;
    let key = base;
    for (let again = 2; found.has(key); again++) key = `${base} ${again}`;
    found.set(key, beam);
    ids.set(beam.number, hash(key));
  }
  return found;
}

/** A number for a text (cyrb53), so that the key of a beam need not hold all texts before it. */
function hash(text: string): number {
  let [low, high] = [0xdeadbeef, 0x41c6ce57];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    low = Math.imul(low ^ code, 2654435761);
    high = Math.imul(high ^ code, 1597334677);
  }
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  return 4294967296 * (2097151 & high) + (low >>> 0);
}

interface FactRow {
  name: string;
  values: [string, string];
  differs: boolean;
}

function facts(one: Search, other: Search): FactRow[] {
  const row = (name: string, of: (search: Search) => string, whole: (search: Search) => string = of): FactRow => {
    return { name, values: [of(one), of(other)], differs: whole(one) !== whole(other) };
  };
  const parameters = [...new Set([one, other].flatMap((search) => Object.keys(search.data.parameters)))];
  return [
    row("prompt", (search) => oneLine(search.data.prompt, 200) || "–", (search) => JSON.stringify(search.data.messages)),
    row("strategy", (search) => search.data.strategy),
    ...parameters.map((name) => row(name, (search) => plain(search.data.parameters[name]))).filter((found) => found.differs && found.name !== "strategy"),
    row("end", (search) => search.data.stop_reason ?? search.data.state),
    row("score", (search) => fixed(number(search.data.score), 4), (search) => String(search.data.score)),
    row("rounds", (search) => count(search.data.rounds_done ?? search.data.rounds.length)),
    row("beams", (search) => count(search.data.beams)),
    row("completion tokens", (search) => count(search.data.usage.completion_tokens)),
    row("requests", (search) => count(search.data.usage.requests)),
    row("time", (search) => seconds(search.data.seconds)),
    row("cost", (search) => search.data.cost || "–"),
  ];
}

export function plain(value: unknown): string {
  if (value === undefined || value === null) return "–";
  if (typeof value !== "object") return visible(String(value));
  if (Array.isArray(value)) return value.map(plain).join(", ") || "–";
  const { name, ...more } = value as Record<string, unknown>;
  const given = Object.entries(more).map(([key, one]) => `${key}=${plain(one)}`).join(", ");
  return name === undefined ? given || "–" : given ? `${name} (${given})` : String(name);
}

function Answers({ searches }: { searches: [Search, Search] }) {
  const whole = searches.map((search) => search.answer?.fullText() ?? "");
  const texts = whole.map((text) => visible(text.slice(0, DIFFED), "\n\t")) as [string, string];
  const parts = useMemo(() => diffWordsWithSpace(texts[0], texts[1]), texts);
  const same = whole[0] === whole[1];
  return (
    <tr class={same ? "" : "differs"}>
      <th scope="row">{!same && <span class="unequal">≠ </span>}answer</th>
      <td class="text">{parts.filter((one) => !one.added).map((one, place) => (one.removed ? <del key={place}>{one.value}</del> : <span key={place}>{one.value}</span>))}</td>
      <td class="text">{parts.filter((one) => !one.removed).map((one, place) => (one.added ? <ins key={place}>{one.value}</ins> : <span key={place}>{one.value}</span>))}</td>
    </tr>
  );
}

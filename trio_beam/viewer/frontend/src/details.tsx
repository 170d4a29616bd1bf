/** All that is known of one beam, or of one request. */

import { useEffect, useState } from "preact/hooks";
import type { Beam, Request, Search } from "./data";
import { EvaluationView } from "./rounds";
import { count, fixed, Marked, matches, percent, places, seconds, SHOWN, visible } from "./text";
import { nameOf } from "./timeline";
import { short } from "./tree";

export function BeamDetails({ search, beam, query }: { search: Search; beam: Beam; query: string }) {
  const lineage = beam.lineage();
  const asked = search.data.evaluations.filter((one) => one.beam === beam.number);
  return (
    <>
      <h2><span class={`dot fate-${beam.fate}`} />{beam.fate === "answer" ? "The answer" : `Beam ${beam.number}`}</h2>
      <p class="why">{visible(beam.why) || (search.survives.has(beam.number) ? "kept: it goes on in the next round" : short(beam))}</p>
      <dl class="numbers">
        <Fact name="score" value={fixed(beam.score, 4)} />
        {beam.weight !== null && <Fact name="weight" value={percent(beam.weight)} />}
        {beam.logWeight !== 0 && beam.logWeight !== null && <Fact name="log weight" value={`${fixed(beam.logWeight)} nats`} />}
        <Fact name="log-probability" value={beam.logprob === null ? "–" : `${fixed(beam.logprob)} nats`} />
        {beam.logprob !== null && beam.length > 0 && <Fact name="per token" value={`${fixed(beam.logprob / beam.length)} nats`} />}
        <Fact name="tokens" value={count(beam.length)} />
        {beam.round > 0 && <Fact name={search.isChains ? "block" : "round"} value={String(beam.round)} />}
        {beam.multiplicity > 1 && <Fact name="sampled" value={`${beam.multiplicity} times`} />}
        {beam.future !== null && <Fact name="future (lookahead)" value={`${fixed(beam.future)} nats`} />}
        {beam.reward !== null && beam.reward !== 0 && <Fact name="reward" value={fixed(beam.reward)} />}
        {beam.confidence !== null && <Fact name="confidence" value={`${fixed(beam.confidence)} nats${beam.confident ? "" : ", too low for a vote"}`} />}
        {beam.stepScores.length > 0 && <Fact name="scores of the steps" value={beam.stepScores.map((one) => fixed(one)).join(", ")} />}
      </dl>
      <h3>Text</h3>
      <FullText key={beam.number} lineage={lineage} query={query} />
      {asked.length > 0 && (
        <>
          <h3>What was asked about it</h3>
          {asked.map((one, place) => <p key={place} class="asked"><b>{one.purpose}</b> <EvaluationView one={one} /></p>)}
        </>
      )}
      {lineage.length > 1 && (
        <>
          <h3>On the way</h3>
          <ol class="way">
            {lineage.map((one) => <li key={one.number}>{fixed(one.score)} <small>{one.length} tokens</small></li>)}
          </ol>
        </>
      )}
    </>
  );
}

function FullText({ lineage, query }: { lineage: Beam[]; query: string }) {
  const [all, setAll] = useState(false);
  const length = lineage.reduce((sum, one) => sum + (one.text?.length ?? 0), 0);
  if (lineage.some((one) => one.text === null)) return <p class="small">Texts were left out of the trace.</p>;
  // The end is what the beam itself adds: a text that is too long loses its beginning.
  let skip = all ? 0 : Math.max(0, length - SHOWN);
  const texts = lineage.map((one) => {
    const text = visible(one.text!.slice(skip), "\n\t");
    skip = Math.max(0, skip - one.text!.length);
    return text;
  });
  const found = places(texts.join(""), query);
  let from = 0;
  const spans = texts.map((text, place) => {
    const kind = place === texts.length - 1 ? "own" : place % 2 ? "odd" : "";
    const span = <span key={place} class={kind}><Marked text={text} from={from} found={found} /></span>;
    from += text.length;
    return span;
  });
  return (
    <>
      {!all && length > SHOWN && <button onClick={() => setAll(true)}>Show the first {count(length - SHOWN)} characters too</button>}
      <div class="text" dir="auto">{length ? spans : <i>(nothing)</i>}</div>
    </>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return <div><dt>{name}</dt><dd>{value}</dd></div>;
}

export function RequestDetails({ search, request, onBeam }: { search: Search; request: Request; onBeam: (beam: number) => void }) {
  return (
    <>
      <h2>Request {request.number}</h2>
      <p class="why">{nameOf(search, request)}{request.round ? `, ${search.isChains ? "block" : "round"} ${request.round}` : ""}</p>
      <ol class="attempts">
        {history(request).map(([at, words, kind], place) => (
          <li key={place} class={kind}><span class="time">{fixed(at)} s</span> {words}</li>
        ))}
      </ol>
      {request.beam !== null && request.beam > 0 && search.beams.has(request.beam) && (
        <button onClick={() => onBeam(request.beam!)}>The beam that it continues</button>
      )}
    </>
  );
}

function history(request: Request): [number, string, string][] {
  const found: [number, string, string][] = [];
  for (const [from, until, paused] of request.waits) {
    found.push([from, `waits for ${paused ? "the end of a pause" : "a free slot"}${until === null ? "" : `: ${seconds(until - from)}`}`, "wait"]);
  }
  request.attempts.forEach((one, place) => {
    found.push([one.sent, `${one.hedge ? "sent again beside the first (hedge)" : place ? "sent again" : "sent"} to ${one.path}`, one.hedge ? "hedge" : "sent"]);
    if (one.ended !== null) {
      const words = one.outcome === "response" ? "answered" : one.outcome === "cancelled" ? "cancelled" : `failed: ${visible(one.error)}`;
      found.push([one.ended, `${words} after ${seconds(one.ended - one.sent)}`, one.outcome]);
    }
  });
  for (const [at, wait] of request.retries) found.push([at, `will be sent again after ${seconds(wait)}`, "retry"]);
  return found.sort(([one], [other]) => one - other);
}

/** The beams whose own block has (the end of) what is looked for. */
export function useFound(search: Search | null, query: string): number[] {
  const [found, setFound] = useState<number[]>([]);
  useEffect(() => setFound(search ? findBeams(search, query) : []), [search, query]);
  return found;
}

function findBeams(search: Search, query: string): number[] {
  if (!query) return [];
  const found: number[] = [];
  const tails = new Map<number, string>([[0, ""]]);
  for (const beam of search.beams.values()) {
    if (!beam.number) continue;
    // What is looked for may have begun in the blocks before.
    const text = (tails.get(beam.parent?.number ?? 0) ?? "") + (beam.text ?? "");
    tails.set(beam.number, query.length > 1 ? text.slice(1 - query.length) : "");
    if (matches(text, query)) found.push(beam.number);
  }
  const place = (number: number) => search.beams.get(number)!;
  return found.sort((one, other) => place(one).depth - place(other).depth || one - other);
}

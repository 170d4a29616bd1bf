/** What was asked, what came out, and what it cost; and the list of searches. */

import { number, type About, type Search } from "./data";
import { count, fixed, oneLine, seconds, visible } from "./text";

export function Overview({ search }: { search: Search }) {
  const { data } = search;
  const { usage } = data;
  const tiles: [string, string][] = [
    ["score", fixed(number(data.score), 4)],
    ["rounds", String(data.rounds_done ?? data.rounds.length)],
    ["beams", count(data.beams)],
    ["tokens", count(usage.completion_tokens)],
    ["requests", count(usage.requests)],
    ...(usage.retries ? [["retries", count(usage.retries)] as [string, string]] : []),
    ...(usage.cancelled ? [["cancelled", count(usage.cancelled)] as [string, string]] : []),
    ["time", seconds(data.seconds)],
    ...(data.cost ? [["cost", data.cost] as [string, string]] : []),
  ];
  const answer = search.answer?.fullText() ?? "";
  return (
    <section class="overview" aria-label="Overview">
      <div class="asked-for">
        <p class="prompt"><span class="label">Prompt</span> <bdi>{data.messages.length ? oneLine(data.prompt, 300) : "(left out)"}</bdi></p>
        <p class="answer"><span class="label">Answer</span> <bdi>{answer.trim() ? oneLine(answer.trim(), 400) : data.state === "running" ? "…" : "(none)"}</bdi></p>
        <p class="how">
          <span class={`state ${data.state}`}>{stateWords(data.state, data.stop_reason)}</span>
          <span>{visible(data.strategy)}</span>
          {data.exact === false && <span title="A continuation went by text, or a log-probability was approximated.">not exact</span>}
          {data.damaged && <span>damaged lines: something may be missing</span>}
          {data.left_out.map((one) => <span key={one}>left out, since the page would be too large: {one}</span>)}
        </p>
      </div>
      <dl class="tiles">
        {tiles.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
      </dl>
      {data.message && <p class="message">{visible(data.message, "\n")}</p>}
    </section>
  );
}

function stateWords(state: string, reason: string | null): string {
  const words: Record<string, string> = {
    finished: "finished", max_tokens: "at the maximum length", deadline: "stopped at the deadline", budget: "budget used up",
    settled: "vote settled", failed: "failed", interrupted: "interrupted",
  };
  return state === "running" ? "has no end yet" : (words[reason ?? ""] ?? visible(reason ?? state));
}

interface PickerProps {
  about: About;
  place: number;
  other: number | null;
  onChoose: (place: number) => void;
  onCompare: ((place: number | null) => void) | undefined;
}

export function Picker({ about, place, other, onChoose, onCompare }: PickerProps) {
  if (about.searches.length < 2) {
    const source = about.sources[0]?.name ?? "";
    return <span class="source"><bdi>{visible(source)}</bdi></span>;
  }
  const options = about.searches.map((one, index) => (
    <option key={index} value={index}>
      {[
        about.sources.length > 1 ? visible(about.sources[one.source]?.name ?? "") : "", `${one.number}.`,
        one.label ? `[${oneLine(one.label, 16)}]` : "", oneLine(one.prompt, 50) || one.strategy,
        one.state === "running" ? "(running)" : one.state === "finished" ? "" : `(${one.state})`,
      ].filter(Boolean).join(" ")}
    </option>
  ));
  return (
    <div class="picker">
      <select aria-label="Search" value={place} onChange={(event) => onChoose(Number(event.currentTarget.value))}>{options}</select>
      {onCompare && (
        <select aria-label="Compare with" value={other ?? ""} onChange={(event) => onCompare(event.currentTarget.value === "" ? null : Number(event.currentTarget.value))}>
          <option value="">compare with …</option>
          {options}
        </select>
      )}
    </div>
  );
}

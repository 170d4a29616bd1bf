/** What happened round by round: scores, weights, acceptance, votes, and what was asked about beams. */

import { extent, max, mean } from "d3-array";
import { scaleBand, scaleLinear, scalePoint } from "d3-scale";
import { line } from "d3-shape";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { number, type Evaluation, type Round, type Search } from "./data";
import { count, fixed, oneLine, percent, seconds, visible } from "./text";

const WIDTH = 760;
const HEIGHT = 220;
const LEFT = 56;
const BOTTOM = 26;

interface Props {
  search: Search;
  selected: number;
  onSelect: (beam: number) => void;
}

export function Rounds(props: Props) {
  const { search } = props;
  const weighted = search.data.rounds.some((one) => one.weights?.length);
  return (
    <div class="rounds">
      {search.data.votes.length > 0 && <Votes search={search} />}
      {search.data.steps.length > 0 && <Acceptance search={search} />}
      {weighted && <Weights search={search} />}
      {weighted && <Sizes search={search} />}
      {search.data.rounds.length > 0 && <Scores {...props} />}
      {search.data.rounds.length > 0 && <Table search={search} />}
      {search.data.evaluations.length > 0 && <Evaluations {...props} />}
    </div>
  );
}

function Figure({ title, children, note }: { title: string; note?: ComponentChildren; children: ComponentChildren }) {
  return (
    <figure>
      <figcaption><b>{title}</b>{note && <small>{note}</small>}</figcaption>
      {children}
    </figure>
  );
}

function Frame({ label, y, format, x, children }: {
  label: string;
  y: { (value: number): number; ticks(count: number): number[] };
  format: (value: number) => string;
  x: [string, number][];
  children: ComponentChildren;
}) {
  const every = Math.ceil(x.length / 18);
  return (
    <svg class="chart" role="img" aria-label={label} viewBox={`0 0 ${WIDTH} ${HEIGHT}`}>
      {y.ticks(5).map((tick) => (
        <g key={tick} class="grid">
          <line x1={LEFT} x2={WIDTH - 8} y1={y(tick)} y2={y(tick)} />
          <text x={LEFT - 8} y={y(tick) + 4} text-anchor="end">{format(tick)}</text>
        </g>
      ))}
      {x.map(([name, at], place) => place % every === 0 && (
        <text key={name} class="tick" x={at} y={HEIGHT - 8} text-anchor="middle">{name}</text>
      ))}
      {children}
    </svg>
  );
}

const KINDS = ["dropped", "kept", "answer"] as const;

function Scores({ search, selected, onSelect }: Props) {
  const beams = search.list.filter((one) => one.round > 0 && one.score !== null && Number.isFinite(one.score));
  if (!beams.length) return null;
  const rounds = [...new Set(beams.map((one) => one.round))].sort((one, other) => one - other);
  const x = scalePoint(rounds, [LEFT + 20, WIDTH - 28]);
  const scores = beams.map((one) => one.score!);
  const [low = 0, high = 0] = extent(scores);
  const y = scaleLinear(low < high ? [low, high] : [low - 1, high + 1], [HEIGHT - BOTTOM - 6, 10]).nice();
  const at = (kind: (typeof KINDS)[number]) => beams.filter((one) => kind === kindOf(search, one.number));
  const best = search.data.rounds.flatMap((one) => {
    const value = number(one.best ?? null);
    return value !== null && Number.isFinite(value) && x(one.round) !== undefined ? [[x(one.round)!, y(value)] as [number, number]] : [];
  });
  const marked = search.beams.get(selected);
  return (
    <Figure title="Scores by round" note="each point is a candidate; the line joins the best of each round">
      <Frame label={`Scores of ${beams.length} candidates in ${rounds.length} rounds`} y={y} format={(value) => fixed(value, 1)} x={rounds.map((one) => [String(one), x(one)!])}>
        <path class="best" d={line()(best) ?? ""} />
        {KINDS.map((kind) => (
          <path key={kind} class={`points ${kind}`} d={at(kind).map((one) => `M${x(one.round)},${y(one.score!)}h0`).join("")} />
        ))}
        {marked && marked.round > 0 && marked.score !== null && Number.isFinite(marked.score) && (
          <circle class="ring" cx={x(marked.round)} cy={y(marked.score)} r={7} />
        )}
        <rect class="hit" x={LEFT} y={0} width={WIDTH - LEFT} height={HEIGHT - BOTTOM} onClick={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          const px = LEFT + ((event.clientX - box.left) / box.width) * (WIDTH - LEFT);
          const py = ((event.clientY - box.top) / box.height) * (HEIGHT - BOTTOM);
          const near = beams.map((one) => [(x(one.round)! - px) ** 2 + (y(one.score!) - py) ** 2, one.number] as const);
          const [distance, nearest] = near.reduce((one, other) => (other[0] < one[0] ? other : one));
          if (distance < 300) onSelect(nearest);
        }} />
      </Frame>
    </Figure>
  );
}

function kindOf(search: Search, beam: number): (typeof KINDS)[number] {
  return search.answerPath.has(beam) ? "answer" : search.survives.has(beam) ? "kept" : "dropped";
}

/** Shares of the particles, largest first. */
export function shares(round: Round): number[] {
  const logs = (round.weights ?? []).map(([, log]) => number(log) ?? -Infinity);
  const high = max(logs) ?? 0;
  const weights = logs.map((log) => Math.exp(log - high));
  const total = weights.reduce((one, other) => one + other, 0);
  return weights.map((one) => one / total).sort((one, other) => other - one);
}

function Sizes({ search }: { search: Search }) {
  const rounds = search.data.rounds.filter((one) => one.particles);
  const most = max(rounds, (one) => one.weights?.length) ?? 1;
  const x = scalePoint(rounds.map((one) => one.round), [LEFT + 20, WIDTH - 28]);
  const y = scaleLinear([0, most], [HEIGHT - BOTTOM, 10]);
  const points = rounds.map((one) => [x(one.round)!, y(one.particles!.effective_sample_size)] as [number, number]);
  const resampled = rounds.filter((one) => one.particles!.resampled);
  return (
    <Figure title="Effective sample size" note={`of ${most} particles, before they were drawn${resampled.length ? "; a ring: they were resampled" : ""}`}>
      <Frame label={`Effective sample size in ${rounds.length} rounds`} y={y} format={(value) => String(value)} x={rounds.map((one) => [String(one.round), x(one.round)!])}>
        <path class="best" d={line()(points) ?? ""} />
        <path class="points kept" d={points.map(([px, py]) => `M${px},${py}h0`).join("")} />
        {resampled.map((one) => <circle key={one.round} class="ring" cx={x(one.round)} cy={y(one.particles!.effective_sample_size)} r={7} />)}
      </Frame>
    </Figure>
  );
}

function Weights({ search }: { search: Search }) {
  const rounds = search.data.rounds.filter((one) => one.weights?.length);
  const x = scaleBand(rounds.map((one) => one.round), [LEFT + 4, WIDTH - 12]).paddingInner(0.15);
  const y = scaleLinear([0, 1], [HEIGHT - BOTTOM, 10]);
  return (
    <Figure title="Weights of the particles" note="shares of the whole after each round, the largest below">
      <Frame label="Weights of the particles by round" y={y} format={percent} x={rounds.map((one) => [String(one.round), x(one.round)! + x.bandwidth() / 2])}>
        {rounds.map((round) => {
          let sum = 0;
          return shares(round).map((share, place) => {
            sum += share;
            const high = y(sum - share) - y(sum);
            return <rect key={`${round.round} ${place}`} class={place % 2 ? "share odd" : "share"} x={x(round.round)} width={x.bandwidth()} y={y(sum)} height={Math.max(0, high - 0.6)} />;
          });
        })}
      </Frame>
    </Figure>
  );
}

function Acceptance({ search }: { search: Search }) {
  const chains = [...new Set(search.data.steps.map((one) => one[0]))].sort((one, other) => one - other);
  const most = max(chains, (chain) => search.data.steps.filter((one) => one[0] === chain).length) ?? 1;
  const x = scaleLinear([1, Math.max(2, most)], [LEFT + 16, WIDTH - 20]);
  const y = scaleLinear([0, 1], [HEIGHT - BOTTOM, 10]);
  const accepted = search.data.steps.filter((one) => one[5]).length;
  const points = { answer: "", dropped: "" };
  const rates = chains.map((chain) => {
    let sum = 0;
    return search.data.steps.filter((one) => one[0] === chain).map((one, place): [number, number] => {
      points[one[5] ? "answer" : "dropped"] += `M${x(place + 1)},${y(Math.min(1, one[4]))}h0`;
      sum += Number(one[5]);
      return [x(place + 1), y(sum / (place + 1))];
    });
  });
  return (
    <Figure
      title={search.isChains ? "Acceptance of the chains" : "Acceptance of the particles' moves"}
      note={`${accepted} of ${search.data.steps.length} proposals accepted (${percent(accepted / search.data.steps.length)}); points: probability of each step (green: accepted); lines: share accepted so far, by ${search.isChains ? "chain" : "particle"}`}
    >
      <Frame label={`Acceptance of ${search.data.steps.length} proposals`} y={y} format={percent} x={x.ticks(10).filter(Number.isInteger).map((one) => [String(one), x(one)])}>
        {rates.map((rate, chain) => <path key={chain} class={`rate chain-${chain % 4}`} d={line()(rate) ?? ""} />)}
        <path class="points dropped" d={points.dropped} />
        <path class="points answer" d={points.answer} />
      </Frame>
      <p class="small">Mean probability of acceptance: {percent(mean(search.data.steps, (one) => Math.min(1, one[4])) ?? 0)}.</p>
    </Figure>
  );
}

function Votes({ search }: { search: Search }) {
  const most = max(search.data.votes, ([, share]) => share) || 1;
  const [shown, setShown] = useState(12);
  return (
    <Figure title="Votes" note={search.data.effective_votes === null ? undefined : `${fixed(search.data.effective_votes, 1)} effective votes; in brackets: 95 % interval`}>
      <ol class="votes">
        {search.data.votes.slice(0, shown).map(([answer, share], place) => (
          <li key={place}>
            <bdi class="words">{answer === "" ? "(nothing)" : oneLine(answer, 120)}</bdi>
            <svg aria-hidden="true" viewBox="0 0 100 10" preserveAspectRatio="none"><rect class={place ? "share" : "share first"} width={(100 * share) / most} height={10} /></svg>
            <span>{percent(share)}{interval(search, place)}</span>
          </li>
        ))}
      </ol>
      {search.data.votes.length > shown && <button onClick={() => setShown(Infinity)}>All {search.data.votes.length} answers</button>}
    </Figure>
  );
}

function interval(search: Search, place: number) {
  const found = search.data.vote_intervals[place];
  return found && <small> [{percent(found[0])}, {percent(found[1])}]</small>;
}

function Table({ search }: { search: Search }) {
  return (
    <Figure title="Rounds">
      <div class="scroll" tabIndex={0} role="region" aria-label="Table of rounds">
        <table>
          <thead>
            <tr><th>Round</th><th>Expanded</th><th>Samples</th><th>Candidates</th><th>Go on</th><th>Ended</th><th>Best score</th><th>Tokens so far</th><th>Time</th></tr>
          </thead>
          <tbody>
            {search.data.rounds.map((one) => (
              <tr key={one.round}>
                <td>{one.round}</td><td>{count(one.expanded)}</td><td>{count(one.samples)}</td><td>{count(one.candidates)}</td>
                <td>{count(one.active)}</td><td>{count(one.ended)}</td><td>{fixed(number(one.best ?? null))}</td><td>{count(one.tokens)}</td>
                <td>{one.end == null ? "running" : seconds(one.end - one.at)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Figure>
  );
}

const AT_ONCE = 100;

function Evaluations({ search, selected, onSelect }: Props) {
  const [shown, setShown] = useState(AT_ONCE);
  const all = search.data.evaluations;
  const names: Record<string, string> = { judge: "The judge's answers", reward: "Scores by the reward model", rollout: "Rollouts" };
  const title = [...new Set(all.map((one) => names[one.purpose] ?? one.purpose))].join(", ");
  return (
    <Figure title={title}>
      <div class="scroll" tabIndex={0} role="region" aria-label={title}>
        <table class="evaluations">
          <thead><tr><th>Round</th><th>About</th><th>What came back</th></tr></thead>
          <tbody>
            {all.slice(0, shown).map((one, place) => (
              <tr key={place} class={one.beam === selected ? "selected" : ""}>
                <td>{one.round}</td>
                <td><button class="plain" onClick={() => onSelect(one.beam)}><bdi>{oneLine(search.beams.get(one.beam)?.text ?? `beam ${one.beam}`, 60) || `beam ${one.beam}`}</bdi></button></td>
                <td><EvaluationView one={one} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {all.length > shown && <button onClick={() => setShown(shown + 500)}>More of the {count(all.length)}</button>}
    </Figure>
  );
}

export function EvaluationView({ one }: { one: Evaluation }) {
  return (
    <>
      {one.scores && <span>{one.scores.map((score) => fixed(score)).join(", ")}</span>}
      {one.answers.map((answer, place) => (
        <span key={place} class="answered">
          <bdi class="quote">{oneLine(answer.text, 160)}</bdi>
          {answer.alternatives.length > 1 && (
            <small>{answer.alternatives.map(([text, share]) => `${oneLine(text, 20)} ${percent(share)}`).join(" · ")}</small>
          )}
        </span>
      ))}
      {one.errors.map((error, place) => <span key={place} class="wrong">{visible(error)}</span>)}
      {one.cancelled && <span class="wrong">cancelled</span>}
    </>
  );
}

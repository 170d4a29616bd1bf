/** What the page is given, and a search made of it. The Python side is `trio_beam/viewer/searches.py`. */

export type State = "running" | "finished" | "failed" | "interrupted";
export type Fate =
  | "answer" | "result" | "kept" | "ended" | "dropped" | "duplicate"
  | "failed" | "unscored" | "accepted" | "rejected" | "part";
/** JSON has no infinities: they come as texts. */
type Num = number | "inf" | "-inf" | "nan" | null;

export interface Usage {
  prompt_tokens?: number;
  cached_tokens?: number;
  completion_tokens?: number;
  reasoning_tokens?: number;
  discarded_tokens?: number;
  requests?: number;
  retries?: number;
  cancelled?: number;
  unpriced?: number;
}

export interface Summary {
  number: number;
  label: string;
  strategy: string;
  began: string;
  prompt: string;
  state: State;
  stop_reason: string | null;
  score: Num;
  answer: string;
  seconds: number;
  beams: number;
  usage: Usage;
  /** In US dollars, in words; "" if no price is known. */
  cost: string;
}

export interface Listed extends Summary {
  source: number;
  left_out: boolean;
}

export interface Source {
  name: string;
  torn: boolean;
  damaged: number;
}

export interface About {
  mode: "file" | "live" | "gateway" | "compare";
  sources: Source[];
  searches: Listed[];
  /** Places in the list to compare. */
  compared?: [number, number];
  /** Where to ask for what is new. */
  data?: string;
}

export interface Round {
  round: number;
  at: number;
  end?: number | null;
  expanded?: number;
  samples?: number;
  best?: Num;
  active?: number;
  ended?: number;
  tokens?: number;
  kept?: number[];
  candidates?: number;
  /** Beams with their log-weights. */
  weights?: [number, Num][];
  particles?: { exponent: number; effective_sample_size: number; resampled?: boolean } | null;
}

export interface Evaluation {
  round: number;
  purpose: string;
  beam: number;
  answers: { text: string; logprob: Num; alternatives: [string, number][] }[];
  scores: number[] | null;
  errors: string[];
  cancelled: boolean;
}

type BeamRow = [
  number, number, string | null, number, number, Fate, string,
  Num, Num, number | null, number, Num, number, number[], Num, Num, Num, boolean,
];
type Wait = [from: number, until: number | null, paused: boolean];
type AttemptRow = [sent: number, ended: number | null, outcome: string, hedge: boolean, error: string, path: string];
type Retry = [at: number, wait: number, error: string];
type RequestRow = [number, number, string, number, number, number | null, Wait[], AttemptRow[], Retry[]];
export type Step = [
  chain: number, block: number, step: number, position: number, probability: number,
  accepted: boolean, beam: number, proposed: number,
];

export interface SearchData extends Summary {
  parameters: Record<string, unknown>;
  max_rounds: number;
  messages: [string, string][];
  damaged: boolean;
  left_out: string[];
  all: (BeamRow | null)[];
  requests: RequestRow[];
  rounds: Round[];
  steps: Step[];
  evaluations: Evaluation[];
  pauses: [number, number, string][];
  limits: [number, number, number][];
  failures: [number, number, string, number][];
  message: string;
  rounds_done: number | null;
  exact: boolean | null;
  log_evidence: Num;
  votes: [string, number][];
  vote_intervals: [number, number][];
  effective_votes: number | null;
  effective_sample_size: number | null;
  acceptance_rates: (number | null)[];
  r_hat: Num;
  best: number[];
}

export class Beam {
  children: Beam[] = [];
  parent: Beam | null = null;
  /** Number of blocks before it. */
  depth = 0;
  constructor(
    readonly number: number,
    readonly text: string | null,
    readonly length: number,
    readonly round: number,
    readonly fate: Fate,
    readonly why: string,
    readonly score: number | null,
    readonly logprob: number | null,
    readonly weight: number | null,
    readonly place: number,
    readonly logWeight: number | null,
    readonly multiplicity: number,
    readonly stepScores: number[],
    readonly future: number | null,
    readonly reward: number | null,
    readonly confidence: number | null,
    readonly confident: boolean,
  ) {}

  /** The blocks from the first to this one. */
  lineage(): Beam[] {
    const found: Beam[] = [];
    for (let one: Beam | null = this; one && one.number; one = one.parent) found.push(one);
    return found.reverse();
  }

  fullText(): string {
    return this.lineage().map((one) => one.text ?? "").join("");
  }
}

export interface Attempt {
  sent: number;
  ended: number | null;
  outcome: string;
  hedge: boolean;
  error: string;
  path: string;
}

export interface Request {
  number: number;
  round: number;
  purpose: string;
  rank: number;
  sample: number;
  beam: number | null;
  waits: Wait[];
  attempts: Attempt[];
  retries: Retry[];
  from: number;
}

const LIVING: ReadonlySet<Fate> = new Set(["answer", "result", "kept", "ended", "accepted"]);

/** A search with its beams joined. */
export class Search {
  readonly beams = new Map<number, Beam>();
  readonly root: Beam;
  readonly requests: Request[];
  /** Beams on the way to the answer. */
  readonly answerPath = new Set<number>();
  /** Beams of which something came: those of the result, those that go on, and what they continue. */
  readonly survives = new Set<number>();

  constructor(readonly data: SearchData) {
    this.root = new Beam(0, "", 0, 0, "part", "", null, null, null, 0, 0, 1, [], null, null, null, true);
    this.beams.set(0, this.root);
    for (const row of data.all) {
      if (!row || row[0] === 0) continue;
      const beam = new Beam(
        row[0], row[2], row[3], row[4], row[5], row[6],
        number(row[7]), number(row[8]), row[9], row[10], number(row[11]), row[12], row[13], number(row[14]),
        number(row[15]), number(row[16]), row[17],
      );
      beam.parent = this.beams.get(row[1]) ?? this.root;
      beam.depth = beam.parent.depth + 1;
      beam.parent.children.push(beam);
      this.beams.set(beam.number, beam);
    }
    this.requests = data.requests.map(request).sort((one, other) => one.from - other.from);
    for (const one of this.beams.get(data.best[0] ?? 0)?.lineage() ?? []) this.answerPath.add(one.number);
    for (const beam of this.beams.values()) {
      if (!LIVING.has(beam.fate)) continue;
      for (let one: Beam | null = beam; one && !this.survives.has(one.number); one = one.parent) this.survives.add(one.number);
    }
  }

  get answer(): Beam | null {
    return this.beams.get(this.data.best[0] ?? -1) ?? null;
  }

  /** Beams in the order of the rounds. */
  get list(): Beam[] {
    return [...this.beams.values()].filter((one) => one.number > 0);
  }

  get isChains(): boolean {
    return this.data.parameters["strategy"] === "McmcConfig";
  }
}

export function number(value: Num): number | null {
  if (value === "inf") return Infinity;
  if (value === "-inf") return -Infinity;
  return value === "nan" ? NaN : value;
}

function request(row: RequestRow): Request {
  const attempts = row[7].map(([sent, ended, outcome, hedge, error, path]) => ({
    sent, ended, outcome, hedge, error, path,
  }));
  const from = Math.min(...row[6].map((one) => one[0]), ...attempts.map((one) => one.sent));
  return {
    number: row[0], round: row[1], purpose: row[2], rank: row[3], sample: row[4], beam: row[5],
    waits: row[6], attempts, retries: row[8], from: Number.isFinite(from) ? from : 0,
  };
}

/** The about and the searches that are in the page. */
export function embedded(): { about: About; search: (place: number) => SearchData | null } {
  const read = (id: string) => {
    const text = document.getElementById(id)?.textContent;
    return text ? JSON.parse(text) : null;
  };
  return { about: read("about"), search: (place) => read(`search-${place}`) };
}

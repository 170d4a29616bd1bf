/** The page: which search is shown, how, and what the keys do. */

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { AboutSearch } from "./about";
import { Compare } from "./compare";
import { Search, type About, type SearchData } from "./data";
import { BeamDetails, RequestDetails, useFound } from "./details";
import type { Size } from "./layout";
import { follow, type Link } from "./live";
import { Overview, Picker } from "./overview";
import { Rounds } from "./rounds";
import { visible } from "./text";
import { Timeline } from "./timeline";
import { TreeView } from "./tree";

const TABS = ["Tree", "Requests", "Rounds", "About"] as const;
type Tab = (typeof TABS)[number];
const SIZES: Size[] = ["dots", "lines", "cards"];

export function App({ about: first, read }: { about: About; read: (place: number) => SearchData | null }) {
  const [about, setAbout] = useState(first);
  const [place, setPlace] = useState(first.data !== undefined ? -1 : (first.compared?.[0] ?? newestIn(first)));
  const [other, setOther] = useState<number | null>(first.compared?.[1] ?? null);
  const [told, setTold] = useState<{ place: number; search: SearchData | null } | null>(null);
  const [link, setLink] = useState<Link>("connected");
  const [key, setKey] = useState("");
  const [tab, setTab] = useState<Tab>("Tree");
  const [size, setSize] = useState<Size | null>(null);
  const [withDropped, setWithDropped] = useState(true);
  const [query, setQuery] = useState("");
  const [beam, setBeam] = useState<number | null>(null);
  const [request, setRequest] = useState(0);
  const [zoom, setZoom] = useState(1);
  const [help, setHelp] = useState(false);
  const [theme, setTheme] = useState<"" | "light" | "dark">("");
  const field = useRef<HTMLInputElement>(null);
  const followed = useRef(0);
  const follows = about.data !== undefined;

  useEffect(() => {
    if (!about.data) return undefined;
    const stopped = new AbortController();
    void follow(about.data, place, key, stopped.signal, (news) => {
      setAbout(news.about);
      setTold({ place: news.place, search: news.search });
      if (news.search && news.search.number !== followed.current) {
        followed.current = news.search.number;
        setBeam(null);
        setRequest(0);
      }
      // In a trace the newest search is followed; at a gateway the page would never rest.
      if (place === -1 && news.about.mode === "gateway" && news.search) setPlace(news.search.number);
    }, setLink);
    return () => stopped.abort();
  }, [place, key, about.data]);

  useLayoutEffect(() => {
    if (theme) document.documentElement.dataset["theme"] = theme;
  }, [theme]);

  const shownPlace = follows ? (told?.place ?? place) : place;
  const data = useMemo(() => (follows ? (told?.search ?? null) : read(place)), [follows, told, place]);
  const search = useMemo(() => (data ? new Search(data) : null), [data]);
  const otherSearch = useMemo(() => {
    const found = other === null ? null : read(other);
    return found ? new Search(found) : null;
  }, [other]);
  const found = useFound(search, query);
  const selected = beam ?? search?.answer?.number ?? newest(search);
  const usualSize = defaultSize(search);
  const shownSize = size ?? (otherSearch && usualSize === "cards" ? "lines" : usualSize);

  const choose = (next: number) => {
    // The list of a gateway loses its oldest: a search is followed by its number.
    setPlace(follows ? (about.searches[next]?.number ?? -1) : next);
    setBeam(null);
    setRequest(0);
  };
  const stepFound = (by: number) => {
    if (!found.length) return;
    const at = found.indexOf(selected);
    const next = at < 0 ? (by > 0 ? 0 : found.length - 1) : (at + by + found.length) % found.length;
    setBeam(found[next]!);
    setTab("Tree");
  };
  const resize = (by: number) => {
    if (tab === "Requests") setZoom(Math.min(64, Math.max(1, zoom * 2 ** by)));
    else setSize(SIZES[Math.min(2, Math.max(0, SIZES.indexOf(shownSize) + by))]!);
  };
  const turn = () => setTheme(isDark(theme) ? "light" : "dark");

  // The newest, since keys may be pressed faster than effects run.
  const onKey = useRef<(event: KeyboardEvent) => void>(() => {});
  onKey.current = (event) => {
    const inField = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    if (event.ctrlKey || event.metaKey || event.altKey || (inField && event.key !== "Escape")) return;
    const actions: Record<string, () => void> = {
      "/": () => field.current?.focus(),
      n: () => stepFound(1),
      N: () => stepFound(-1),
      d: () => setWithDropped(!withDropped),
      t: turn,
      "+": () => resize(1),
      "-": () => resize(-1),
      "?": () => setHelp(!help),
      "]": () => choose(Math.min(about.searches.length - 1, shownPlace + 1)),
      "[": () => choose(Math.max(0, shownPlace - 1)),
      Escape: () => {
        setHelp(false);
        setQuery("");
        field.current?.blur();
      },
    };
    TABS.forEach((one, index) => (actions[String(index + 1)] = () => setTab(one)));
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  };
  // Before the first frame: an ordinary effect would miss a key that is pressed at once.
  useLayoutEffect(() => {
    const listen = (event: KeyboardEvent) => onKey.current(event);
    document.addEventListener("keydown", listen);
    return () => document.removeEventListener("keydown", listen);
  }, []);
  const listed = about.searches[shownPlace];
  const chosenRequest = search?.requests.find((one) => one.number === request);
  const chosenBeam = search?.beams.get(selected);
  return (
    <>
      <header>
        <h1>trio-beam</h1>
        <Picker about={about} place={shownPlace} onChoose={choose} other={other} onCompare={follows ? undefined : setOther} />
        <div class="find" role="search">
          <input
            ref={field} type="search" placeholder="Find in the texts  ( / )" aria-label="Find in the texts" value={query} spellcheck={false}
            onInput={(event) => setQuery(event.currentTarget.value)}
            onKeyDown={(event) => { if (event.key === "Enter") stepFound(event.shiftKey ? -1 : 1); }}
          />
          <output aria-live="polite">{query && `${found.length ? `${Math.max(0, found.indexOf(selected)) + (found.includes(selected) ? 1 : 0)} of ` : ""}${found.length}`}</output>
        </div>
        <button onClick={turn} title="Light or dark (t)" aria-label="Light or dark">◐</button>
        <button onClick={() => setHelp(!help)} title="Keys (?)" aria-label="Keys" aria-expanded={help}>?</button>
      </header>
      <Notes about={about} link={link} />
      {link === "refused" && <KeyForm onKey={(given) => { setKey(given); setLink("connected"); }} again={key !== ""} />}
      {help && <Help onClose={() => setHelp(false)} />}
      <main>
        {!search && link !== "refused" && <p class="empty">{emptyWords(about, listed?.left_out ?? false, follows, told !== null)}</p>}
        {search && otherSearch && (
          <>
            <div class="bar"><span /><Tools size={shownSize} onSize={setSize} withDropped={withDropped} onDropped={setWithDropped} /></div>
            <Compare searches={[search, otherSearch]} names={[nameOf(about, place), nameOf(about, other!)]} size={shownSize} withDropped={withDropped} query={query} />
          </>
        )}
        {search && !otherSearch && (
          <>
            <Overview search={search} />
            <div class="bar">
              <div role="tablist" aria-label="Views">
                {TABS.map((one, index) => (
                  <button
                    key={one} id={`tab-${one}`} role="tab" aria-selected={tab === one} aria-controls="view" tabIndex={tab === one ? 0 : -1} title={`(${index + 1})`}
                    onClick={() => setTab(one)}
                    onKeyDown={(event) => {
                      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
                      if (!by) return;
                      const next = TABS[(index + by + TABS.length) % TABS.length]!;
                      setTab(next);
                      document.getElementById(`tab-${next}`)?.focus();
                    }}
                  >{one}{one === "Requests" && search.requests.length > 0 && <small> {search.requests.length}</small>}</button>
                ))}
              </div>
              {tab === "Tree" && <Tools size={shownSize} onSize={setSize} withDropped={withDropped} onDropped={setWithDropped} />}
              {tab === "Requests" && (
                <div class="tools">
                  <button onClick={() => resize(-1)} disabled={zoom === 1} aria-label="Narrower">−</button>
                  <button onClick={() => resize(1)} disabled={zoom === 64} aria-label="Wider">+</button>
                </div>
              )}
            </div>
            <div class="work">
              <div id="view" role="tabpanel" aria-labelledby={`tab-${tab}`} tabIndex={tab === "Rounds" || tab === "About" ? 0 : undefined} class={`view on-${tab.toLowerCase()}`}>
                {tab === "Tree" && <TreeView key={shownPlace} search={search} size={shownSize} withDropped={withDropped} selected={selected} query={query} found={new Set(found)} label="Tree of beams" onSelect={setBeam} />}
                {tab === "Requests" && <Timeline search={search} zoom={zoom} selected={request} onSelect={setRequest} />}
                {tab === "Rounds" && <Rounds search={search} selected={selected} onSelect={setBeam} />}
                {tab === "About" && <AboutSearch search={search} />}
              </div>
              {tab !== "About" && (
                <aside aria-label="Details" tabIndex={0}>
                  {tab === "Requests"
                    ? chosenRequest ? <RequestDetails search={search} request={chosenRequest} onBeam={(one) => { setBeam(one); setTab("Tree"); }} /> : <p class="small">Choose a request to see its attempts.</p>
                    : chosenBeam && chosenBeam.number > 0 ? <BeamDetails search={search} beam={chosenBeam} query={query} /> : <p class="small">Choose a beam to see its text.</p>}
                </aside>
              )}
            </div>
          </>
        )}
      </main>
    </>
  );
}

function isDark(theme: string): boolean {
  return theme ? theme === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
}

function defaultSize(search: Search | null): Size {
  const beams = search?.beams.size ?? 0;
  return beams > 400 ? "dots" : beams > 130 ? "lines" : "cards";
}

/** The last search in the page: a trace is appended to. */
function newestIn(about: About): number {
  return Math.max(0, about.searches.findLastIndex((one) => !one.left_out));
}

/** The best of the beams that go on, in a search that has no answer yet. */
function newest(search: Search | null): number {
  const kept = search?.data.rounds.flatMap((one) => one.kept ?? []) ?? [];
  return search?.data.rounds.findLast((one) => one.kept?.length)?.kept?.[0] ?? kept[0] ?? search?.list[0]?.number ?? 0;
}

function nameOf(about: About, place: number): string {
  const one = about.searches[place];
  if (!one) return "";
  const source = about.sources[one.source]?.name ?? "";
  const several = about.searches.filter((found) => found.source === one.source).length > 1;
  return several ? `${source}, search ${one.number}` : source;
}

function emptyWords(about: About, leftOut: boolean, follows: boolean, told: boolean): string {
  if (leftOut) return "This search was left out: the page would be too large. Write a page of it alone, with --search.";
  if (follows && !told) return "Waiting for the first answer …";
  if (about.mode === "gateway") return "No search has run yet. This page shows them as they come.";
  return "There is no search yet.";
}

function Tools({ size, onSize, withDropped, onDropped }: { size: Size; onSize: (size: Size) => void; withDropped: boolean; onDropped: (shown: boolean) => void }) {
  return (
    <div class="tools">
      <button aria-pressed={withDropped} onClick={() => onDropped(!withDropped)} title="(d)">Dropped beams</button>
      <div role="group" aria-label="Size of the beams" class="sizes">
        {[...SIZES].reverse().map((one) => <button key={one} aria-pressed={size === one} onClick={() => onSize(one)} title="(+ and -)">{one[0]!.toUpperCase() + one.slice(1)}</button>)}
      </div>
    </div>
  );
}

function Notes({ about, link }: { about: About; link: Link }) {
  const notes = about.sources.flatMap((source) => {
    const name = about.sources.length > 1 ? `${visible(source.name)}: ` : "";
    return [
      ...(source.torn ? [`${name}the last line of the trace is not whole: it is still being written, or a crash tore it.`] : []),
      ...(source.damaged ? [`${name}${source.damaged} damaged ${source.damaged === 1 ? "line was" : "lines were"} passed over.`] : []),
    ];
  });
  const left = about.searches.filter((one) => one.left_out).length;
  if (left) notes.push(`${left} of ${about.searches.length} searches were left out: the page would be too large. Write a page of one of them alone, with --search.`);
  if (link === "lost") notes.push("The connection to the server is lost; what is shown may be out of date.");
  return notes.length ? <div class="notes" role="status">{notes.map((one) => <p key={one}>{one}</p>)}</div> : null;
}

function KeyForm({ onKey, again }: { onKey: (key: string) => void; again: boolean }) {
  const field = useRef<HTMLInputElement>(null);
  const give = (event: Event) => {
    event.preventDefault();
    onKey(field.current?.value ?? "");
  };
  return (
    <form class="key" aria-label="Key" onSubmit={give}>
      <p>{again ? "The gateway does not know this key." : "The gateway needs a key to show its searches."}</p>
      <input ref={field} type="password" aria-label="Key of the gateway" autocomplete="off" />
      <button>Show</button>
    </form>
  );
}

const KEYS: [string, string][] = [
  ["← → ↑ ↓", "to the beam before, after, above, below"], ["Home", "to the answer"], ["/", "find in the texts"],
  ["Enter, n, N", "next and previous text found"], ["1 2 3 4", "Tree, Requests, Rounds, About"], ["+ −", "larger and smaller"],
  ["d", "with or without dropped beams"], ["[ ]", "previous and next search"], ["t", "light or dark"], ["Esc", "close, find nothing"],
];

function Help({ onClose }: { onClose: () => void }) {
  return (
    <section class="help" aria-label="Keys">
      <dl>{KEYS.map(([one, words]) => <div key={one}><dt><kbd>{one}</kbd></dt><dd>{words}</dd></div>)}</dl>
      <button onClick={onClose}>Close</button>
    </section>
  );
}

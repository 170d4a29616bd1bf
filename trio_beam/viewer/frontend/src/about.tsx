/** How a search was run: its prompt, its parameters, and what went wrong. */

import { number, type Search } from "./data";
import { plain } from "./compare";
import { count, fixed, percent, seconds, visible } from "./text";

export function AboutSearch({ search }: { search: Search }) {
  const { data } = search;
  const totals: [string, string][] = [
    ["began", data.began], ["label", visible(data.label) || "–"], ["time", seconds(data.seconds)], ["end", data.stop_reason ?? data.state],
    ...Object.entries(data.usage).filter(([name]) => name !== "unpriced" && !name.endsWith("cost")).map(([name, value]): [string, string] => [name.replaceAll("_", " "), count(value)]),
    ...(data.cost ? [["cost", data.cost] as [string, string]] : []),
    ...(data.effective_sample_size === null ? [] : [["effective sample size", fixed(data.effective_sample_size, 2)] as [string, string]]),
    ...(data.acceptance_rates.length ? [[search.isChains ? "acceptance by chain" : "acceptance of moves", data.acceptance_rates.map((one) => (one === null ? "–" : percent(one))).join(", ")] as [string, string]] : []),
    ...(data.r_hat === null ? [] : [["r-hat", fixed(number(data.r_hat))] as [string, string]]),
    ...(data.log_evidence === null ? [] : [["log evidence", `${fixed(number(data.log_evidence))} nats`] as [string, string]]),
  ];
  return (
    <div class="rounds">
      <figure>
        <figcaption><b>Prompt</b></figcaption>
        {data.messages.length ? data.messages.map(([role, text], place) => (
          <div key={place} class="text" dir="auto">{role && <b class="role">{visible(role)}</b>}{visible(text, "\n\t")}</div>
        )) : <p class="small">Prompts were left out of the trace.</p>}
      </figure>
      {data.failures.length > 0 && (
        <figure>
          <figcaption><b>Failures</b></figcaption>
          <ul>{data.failures.map(([round, beam, why, attempts], place) => <li key={place}>round {round}, beam {beam || "(the empty one)"}: {visible(why)} ({attempts} {attempts === 1 ? "attempt" : "attempts"})</li>)}</ul>
        </figure>
      )}
      {(data.pauses.length > 0 || data.limits.length > 0) && (
        <figure>
          <figcaption><b>What the server asked for</b></figcaption>
          <ul>
            {data.pauses.map(([at, long, why], place) => <li key={place}>{seconds(at)}: a pause of {seconds(long)} ({visible(why)})</li>)}
            {data.limits.map(([at, limit, before], place) => <li key={place}>{seconds(at)}: {limit} requests at a time instead of {before}</li>)}
          </ul>
        </figure>
      )}
      <figure>
        <figcaption><b>Totals</b></figcaption>
        <table class="pairs"><tbody>{totals.map(([name, value]) => <tr key={name}><th scope="row">{name}</th><td>{value}</td></tr>)}</tbody></table>
      </figure>
      <figure>
        <figcaption><b>Parameters</b></figcaption>
        <table class="pairs"><tbody>{Object.entries(data.parameters).map(([name, value]) => <tr key={name}><th scope="row"><code>{name}</code></th><td><bdi>{plain(value)}</bdi></td></tr>)}</tbody></table>
      </figure>
    </div>
  );
}

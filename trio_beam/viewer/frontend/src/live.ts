/** Asks the server for what is new; it answers when there is something. */

import type { About, SearchData } from "./data";

export interface News {
  version: string;
  about: About;
  place: number;
  search: SearchData | null;
}

export type Link = "connected" | "lost" | "refused";

/** Follow a search (-1: the newest) until `stopped`; a key is sent as the gateway wants it. */
export async function follow(
  url: string,
  place: number,
  key: string,
  stopped: AbortSignal,
  onNews: (news: News) => void,
  onLink: (link: Link) => void,
): Promise<void> {
  let version = "";
  while (!stopped.aborted) {
    try {
      const headers: HeadersInit = key ? { Authorization: `Bearer ${key}` } : {};
      const query = new URLSearchParams({ seen: version, search: String(place) });
      const response = await fetch(`${url}?${query}`, { headers, signal: stopped, cache: "no-store" });
      if (response.status === 401 || response.status === 403) return onLink("refused");
      if (!response.ok) throw new Error(String(response.status));
      if (response.status === 200) {
        const news = (await response.json()) as News;
        version = news.version;
        onNews(news);
      }
      onLink("connected");
    } catch {
      if (stopped.aborted) return;
      onLink("lost");
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

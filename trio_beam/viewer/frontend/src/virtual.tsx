/** What of a scrolling box is in view, in steps, so that most frames of a scroll do no work. */

import type { RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import type { Window } from "./layout";

const STEP = 320;

export function useWindow(box: RefObject<HTMLElement | null>, again: unknown[]): Window {
  const [seen, setSeen] = useState<Window>({ left: 0, top: 0, right: 1600, bottom: 1200 });
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const look = () => setSeen((before) => {
      const now = windowOf(element);
      const same = (Object.keys(now) as (keyof Window)[]).every((key) => now[key] === before[key]);
      return same ? before : now;
    });
    look();
    element.addEventListener("scroll", look, { passive: true });
    const resized = new ResizeObserver(look);
    resized.observe(element);
    return () => {
      element.removeEventListener("scroll", look);
      resized.disconnect();
    };
  }, again);
  return seen;
}

function windowOf(element: HTMLElement): Window {
  const { scrollLeft, scrollTop, clientWidth, clientHeight } = element;
  return {
    left: Math.max(0, Math.floor(scrollLeft / STEP - 1) * STEP),
    top: Math.max(0, Math.floor(scrollTop / STEP - 1) * STEP),
    right: Math.ceil((scrollLeft + clientWidth) / STEP + 1) * STEP,
    bottom: Math.ceil((scrollTop + clientHeight) / STEP + 1) * STEP,
  };
}

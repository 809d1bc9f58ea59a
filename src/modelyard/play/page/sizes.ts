import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";

/** The width of an element in pixels, as it changes. */
export function useWidth(ref: RefObject<HTMLElement | null>, before = 600): number {
  const [width, setWidth] = useState(before);
  useEffect(() => {
    if (!ref.current) return;
    const observer = new ResizeObserver(([entry]) => entry && setWidth(Math.max(120, Math.round(entry.contentRect.width))));
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return width;
}

/** Counts how often the colours changed: what is drawn on a canvas is drawn anew. */
export function useColours(): number {
  const [count, setCount] = useState(0);
  useEffect(() => {
    const follow = () => setCount((old) => old + 1);
    addEventListener("colours", follow);
    return () => removeEventListener("colours", follow);
  }, []);
  return count;
}

/** A colour of the design, by the name of its property. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A canvas with as many pixels as the screen has for it, to be drawn on in CSS pixels. */
export function prepared(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d")!;
  context.scale(ratio, ratio);
  return context;
}

/** Round values for an axis: about `count` of them. */
export function ticks(least: number, most: number, count: number): number[] {
  const rough = (most - least) / Math.max(1, count);
  if (!(rough > 0) || !Number.isFinite(rough)) return [least];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough)!;
  const first = Math.ceil(least / step - 1e-9);
  return Array.from({ length: Math.floor(most / step + 1e-9) - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/** A value within a range, with no more digits than a curve over the range can show. */
export function rounded(value: number, [least, most]: readonly [number, number]): number {
  const decimals = Math.max(0, 3 - Math.floor(Math.log10(most - least || 1)));
  return Number(Math.min(most, Math.max(least, value)).toFixed(Math.min(12, decimals)));
}

// Equally spaced numbers: drawn, pasted, or cut at an earlier "today".

import { useRef, useState } from "preact/hooks";
import type * as d from "../description.ts";
import { short, typedNumbers, withUnit } from "../format.ts";
import { rounded, ticks, useWidth } from "../sizes.ts";
import { moved, nameOfStep, readTime, stepOf, writeTime } from "../times.ts";
import type { InputProps } from "../widgets.ts";
import { Today } from "./today.tsx";

const HEIGHT = 190;
const PAD = { left: 44, right: 10, top: 10, bottom: 24 };

export default function SeriesInput({ input, id, errorId, request, whole, set }: InputProps<d.Series>) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const listOf = (values: unknown): unknown[] => (Array.isArray(values) ? values : []);
  const all = listOf(whole[input.field]) as number[];
  const cut = listOf(request[input.field]).length;
  const [at, setAt] = useState(-1);
  const [isPasting, setIsPasting] = useState(false);
  const dragged = useRef<{ index: number; value: number; range: [number, number] } | null>(null);
  const end = whole[input.end_field];
  const step = stepOf(input, request);

  const range = dragged.current?.range ?? rangeOf(all, input);
  const x = (index: number) => PAD.left + (index / Math.max(1, all.length - 1)) * (width - PAD.left - PAD.right);
  const y = (value: number) => PAD.top + (1 - (value - range[0]) / (range[1] - range[0] || 1)) * (HEIGHT - PAD.top - PAD.bottom);

  const cutAt = (length: number, changed: Record<string, unknown> = {}) => {
    const lists = [input.field, ...input.follows].map((field) => [field, changed[field] ?? whole[field]] as const);
    const shown: Record<string, unknown> = Object.fromEntries(lists.map(([field, list]) => [field, Array.isArray(list) ? list.slice(0, length) : list]));
    const total = listOf(changed[input.field] ?? all).length;
    const time = typeof end === "string" ? readTime(end) : null;
    if (time && input.end_field) shown[input.end_field] = writeTime(moved(time, length - total, step));
    set(shown, changed);
  };
  const change = (values: number[]) => cutAt(cut, { [input.field]: values });

  const locate = (event: PointerEvent) => {
    const area = (event.currentTarget as Element).getBoundingClientRect();
    const share = (event.clientX - area.left - PAD.left) / (width - PAD.left - PAD.right);
    const height = 1 - (event.clientY - area.top - PAD.top) / (HEIGHT - PAD.top - PAD.bottom);
    const value = range[0] + Math.min(1, Math.max(0, height)) * (range[1] - range[0]);
    return { index: Math.min(all.length - 1, Math.max(0, Math.round(share * (all.length - 1)))), value: rounded(value, range) };
  };
  const draw = (event: PointerEvent) => {
    const { index, value } = locate(event);
    setAt(index);
    if (!dragged.current) return;
    const { index: before, value: valueBefore } = dragged.current;
    const values = [...all];
    // A quick pointer skips positions: they lie on the line between.
    for (let one = Math.min(before, index); one <= Math.max(before, index); one++) {
      const share = index === before ? 1 : (one - before) / (index - before);
      values[one] = rounded(valueBefore + share * (value - valueBefore), range);
    }
    dragged.current = { ...dragged.current, index, value };
    change(values);
  };
  const press = (event: PointerEvent) => {
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    dragged.current = { ...locate(event), range };
    draw(event);
  };
  const keys = (event: KeyboardEvent) => {
    const selected = at < 0 ? cut - 1 : at;
    const moves: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const [aside, up] = moves[event.key] ?? [0, 0];
    if (aside === 0 && up === 0) return;
    event.preventDefault();
    const index = Math.min(all.length - 1, Math.max(0, selected + aside));
    setAt(index);
    if (up !== 0) change(all.map((value, one) => (one === index ? rounded(value + (up * (range[1] - range[0])) / 40, range) : value)));
  };
  const line = (from: number, to: number) => all.slice(from, to).map((value, index) => `${index ? "L" : "M"}${x(from + index).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const selected = at >= 0 && at < all.length ? at : -1;
  const said = selected >= 0 ? `${nameOfStep(end, selected - all.length + 1, step)}: ${withUnit(short(all[selected]!), input.unit)}` : "";
  return (
    <div ref={box}>
      <svg
        id={id} class="chart editable" width={width} height={HEIGHT} role="application" tabindex={0} aria-roledescription="curve"
        aria-label={`${input.label}: ${all.length} numbers. Left and right choose one, up and down change it.`} aria-describedby={errorId}
        onPointerDown={press} onPointerMove={draw} onPointerUp={() => (dragged.current = null)} onPointerLeave={() => !dragged.current && setAt(-1)} onKeyDown={keys}
      >
        {ticks(...range, 4).map((tick) => (
          <g key={tick}>
            <line class="grid" x1={PAD.left} x2={width - PAD.right} y1={y(tick)} y2={y(tick)} />
            <text class="tick" x={PAD.left - 6} y={y(tick) + 4} text-anchor="end">{short(tick)}</text>
          </g>
        ))}
        <text class="tick" x={PAD.left} y={HEIGHT - 6}>{nameOfStep(end, 1 - all.length, step)}</text>
        <text class="tick" x={width - PAD.right} y={HEIGHT - 6} text-anchor="end">{nameOfStep(end, 0, step)}</text>
        {cut < all.length && <path class="line held-back" d={line(Math.max(0, cut - 1), all.length)} />}
        <path class="line history" d={line(0, cut)} />
        {cut > 0 && cut < all.length && <line class="today" x1={x(cut - 1)} x2={x(cut - 1)} y1={PAD.top} y2={HEIGHT - PAD.bottom} />}
        {selected >= 0 && <circle class="selected" cx={x(selected)} cy={y(all[selected]!)} r="4.5" />}
      </svg>
      <p class="readout" aria-live="polite">{said || `Draw on the curve to change it${input.unit ? ` (${input.unit})` : ""}.`}</p>
      <Today id={id} shortest={input.shortest} length={all.length} cut={cut} name={nameOfStep(end, cut - all.length, step)} onCut={cutAt} />
      <button class="link" type="button" aria-expanded={isPasting} onClick={() => setIsPasting(!isPasting)}>{isPasting ? "Close the numbers" : "Paste numbers"}</button>
      {isPasting && <Numbers input={input} whole={whole} all={all} onRead={(values) => cutAt(values.length, trimmed(input, whole, values))} />}
    </div>
  );
}

function Numbers({ input, whole, all, onRead }: { input: d.Series; whole: InputProps<d.Series>["whole"]; all: number[]; onRead: (values: number[]) => void }) {
  const [text, setText] = useState(() => all.join("\n"));
  const { values, wrong } = typedNumbers(text);
  const most = input.follows.map((field) => whole[field]).filter(Array.isArray).reduce((least, list) => Math.min(least, list.length), input.longest);
  const type = (typed: string) => {
    setText(typed);
    const read = typedNumbers(typed);
    if (read.wrong.length === 0 && read.values.length >= input.shortest) onRead(read.values.slice(-most));
  };
  return (
    <>
      <textarea class="line" rows={6} aria-label={`${input.label}, one number a line`} value={text} onInput={(event) => type(event.currentTarget.value)} />
      <p class={wrong.length || values.length < input.shortest ? "error" : "quiet"}>
        {wrong.length
          ? `No number: ${wrong.slice(0, 3).join(", ")}`
          : values.length < input.shortest
          ? `${values.length} numbers; at least ${input.shortest} are needed`
          : `${values.length} numbers, ${short(Math.min(...values))} to ${short(Math.max(...values))}${values.length > most ? `; the latest ${most} are taken` : ""}`}
      </p>
    </>
  );
}

/** What goes with pasted numbers: the latest of the lists that follow, as many as there are numbers. */
function trimmed(input: d.Series, whole: InputProps<d.Series>["whole"], values: number[]): Record<string, unknown> {
  const follows = input.follows.map((field) => [field, Array.isArray(whole[field]) ? (whole[field] as unknown[]).slice(-values.length) : whole[field]]);
  return { [input.field]: values, ...Object.fromEntries(follows) };
}

function rangeOf(values: number[], input: d.Series): [number, number] {
  if (values.length === 0) return [input.minimum, input.maximum];
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const margin = 0.25 * (most - least) || 0.1 * Math.abs(most) || 1;
  return [Math.max(input.minimum, least - margin), Math.min(input.maximum, most + margin)];
}

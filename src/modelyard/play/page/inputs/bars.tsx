// Prices of consecutive days; the closes are drawn, or everything is cut at an earlier "today".

import { useRef, useState } from "preact/hooks";
import type * as d from "../description.ts";
import { short, withUnit } from "../format.ts";
import { rounded, ticks, useWidth } from "../sizes.ts";
import type { InputProps } from "../widgets.ts";
import { Today } from "./today.tsx";

const HEIGHT = 230;
const PAD = { left: 48, right: 8, top: 10, bottom: 24 };

interface Prices {
  closes: number[];
  opens: number[];
  highs: number[];
  lows: number[];
}

export default function BarsInput({ input, id, errorId, request, whole, set }: InputProps<d.Bars>) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const [at, setAt] = useState(-1);
  const dragged = useRef<{ index: number; value: number; range: [number, number] } | null>(null);
  const list = <T,>(field: string) => (Array.isArray(whole[field]) ? (whole[field] as T[]) : []);
  const prices: Prices = { closes: list(input.field), opens: list(input.opens_field), highs: list(input.highs_field), lows: list(input.lows_field) };
  const days = list<string>(input.days_field);
  const cut = Array.isArray(request[input.field]) ? (request[input.field] as number[]).length : 0;
  const range = dragged.current?.range ?? rangeOf(prices);
  const slot = (width - PAD.left - PAD.right) / Math.max(1, days.length);
  const x = (index: number) => PAD.left + (index + 0.5) * slot;
  const y = (value: number) => PAD.top + ((range[1] - value) / (range[1] - range[0] || 1)) * (HEIGHT - PAD.top - PAD.bottom);

  const send = (next: Prices, length: number) => {
    const changed = { [input.field]: next.closes, [input.highs_field]: next.highs, [input.lows_field]: next.lows };
    const fields = [input.field, input.days_field, input.opens_field, input.highs_field, input.lows_field, input.volumes_field, ...input.follows].filter(Boolean);
    const shown = fields.map((field) => [field, changed[field] ?? whole[field]] as const);
    set(Object.fromEntries(shown.map(([field, values]) => [field, Array.isArray(values) ? values.slice(0, length) : values])), changed);
  };
  const draw = (from: { index: number; value: number }, to: { index: number; value: number }) => {
    const next: Prices = { ...prices, closes: [...prices.closes], highs: [...prices.highs], lows: [...prices.lows] };
    for (let one = Math.min(from.index, to.index); one <= Math.max(from.index, to.index); one++) {
      const share = from.index === to.index ? 1 : (one - from.index) / (to.index - from.index);
      const close = rounded(from.value + share * (to.value - from.value), range);
      next.closes[one] = close;
      next.highs[one] = Math.max(next.highs[one]!, close);
      next.lows[one] = Math.min(next.lows[one]!, close);
    }
    send(next, cut);
  };
  const locate = (event: PointerEvent) => {
    const area = (event.currentTarget as Element).getBoundingClientRect();
    const index = Math.floor((event.clientX - area.left - PAD.left) / slot);
    const height = (event.clientY - area.top - PAD.top) / (HEIGHT - PAD.top - PAD.bottom);
    return { index: Math.min(days.length - 1, Math.max(0, index)), value: range[1] - Math.min(1, Math.max(0, height)) * (range[1] - range[0]) };
  };
  const move = (event: PointerEvent) => {
    const place = locate(event);
    setAt(place.index);
    if (!dragged.current) return;
    draw(dragged.current, place);
    dragged.current = { ...place, range };
  };
  const press = (event: PointerEvent) => {
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    dragged.current = { ...locate(event), range };
    move(event);
  };
  const keys = (event: KeyboardEvent) => {
    const moves: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const [aside, up] = moves[event.key] ?? [0, 0];
    if (aside === 0 && up === 0) return;
    event.preventDefault();
    const index = Math.min(days.length - 1, Math.max(0, (at < 0 ? cut - 1 : at) + aside));
    setAt(index);
    const place = { index, value: prices.closes[index]! + (up * (range[1] - range[0])) / 60 };
    if (up !== 0) draw(place, place);
  };
  const seen = at >= 0 && at < days.length ? at : cut - 1;
  const said = days[seen] === undefined ? "" : `${days[seen]}: open ${short(prices.opens[seen]!)}, high ${short(prices.highs[seen]!)}, low ${short(prices.lows[seen]!)}, close ${withUnit(short(prices.closes[seen]!), input.unit)}`;
  return (
    <div ref={box}>
      <svg
        id={id} class="chart editable" width={width} height={HEIGHT} role="application" tabindex={0} aria-roledescription="price bars" aria-describedby={errorId}
        aria-label={`${input.label}: ${days.length} days. Left and right choose a day, up and down change its close.`}
        onPointerDown={press} onPointerMove={move} onPointerUp={() => (dragged.current = null)} onPointerLeave={() => !dragged.current && setAt(-1)} onKeyDown={keys}
      >
        {ticks(...range, 4).map((tick) => (
          <g key={tick}>
            <line class="grid" x1={PAD.left} x2={width - PAD.right} y1={y(tick)} y2={y(tick)} />
            <text class="tick" x={PAD.left - 6} y={y(tick) + 4} text-anchor="end">{short(tick)}</text>
          </g>
        ))}
        <text class="tick" x={PAD.left} y={HEIGHT - 6}>{days[0]}</text>
        <text class="tick" x={width - PAD.right} y={HEIGHT - 6} text-anchor="end">{days[days.length - 1]}</text>
        {days.map((day, index) => {
          const [open, close] = [prices.opens[index]!, prices.closes[index]!];
          return (
            <g key={day} class={`day ${close >= open ? "rise" : "fall"} ${index >= cut ? "held-back" : ""}`}>
              <line x1={x(index)} x2={x(index)} y1={y(prices.highs[index]!)} y2={y(prices.lows[index]!)} />
              <rect x={x(index) - slot * 0.34} width={slot * 0.68} y={y(Math.max(open, close))} height={Math.max(1, Math.abs(y(open) - y(close)))} />
            </g>
          );
        })}
        {cut < days.length && <line class="today" x1={PAD.left + cut * slot} x2={PAD.left + cut * slot} y1={PAD.top} y2={HEIGHT - PAD.bottom} />}
        {at >= 0 && <circle class="selected" cx={x(seen)} cy={y(prices.closes[seen]!)} r="4.5" />}
      </svg>
      <p class="readout">{said}</p>
      <p class="quiet">Draw on the bars to change their closes.</p>
      <Today id={id} shortest={input.shortest} length={days.length} cut={cut} name={days[cut - 1] ?? ""} onCut={(length) => send(prices, length)} />
    </div>
  );
}

function rangeOf(prices: Prices): [number, number] {
  const [least, most] = [Math.min(...prices.lows), Math.max(...prices.highs)];
  const margin = 0.08 * (most - least) || 0.05 * most || 1;
  return [Math.max(least / 2, least - margin), most + margin];
}

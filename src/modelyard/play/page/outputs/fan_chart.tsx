// Quantiles of a forecast behind its history, and what really came where "today" has been pulled back.

import { useRef, useState } from "preact/hooks";
import type * as d from "../description.ts";
import { fixed, percent, short, withUnit } from "../format.ts";
import { ticks, useWidth } from "../sizes.ts";
import { nameOfStep, stepOf } from "../times.ts";
import type { OutputProps } from "../widgets.ts";

const HEIGHT = 300;
const PAD = { left: 46, right: 12, top: 12, bottom: 28 };
const SHORTEST_HISTORY = 24;

interface Point {
  lead: number;
  quantiles: ReadonlyArray<number>;
  baseline: number | null;
}

export default function FanChartOutput({ output, play, request, whole, leads, set }: OutputProps<d.FanChart>) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const [at, setAt] = useState(-1);
  const series = play.inputs.find((input): input is d.Series => input.kind === "series" && input.field === output.history_field);
  const step = series ? stepOf(series, request) : "position";
  const end = series ? request[series.end_field] : undefined;
  const points: Point[] = leads.flatMap((response, index) => {
    const quantiles = response[output.field];
    const baseline = response[output.baseline_field];
    return Array.isArray(quantiles) ? [{ lead: output.leads[index]!, quantiles: quantiles as number[], baseline: typeof baseline === "number" ? baseline : null }] : [];
  });
  if (points.length === 0) return <p class="quiet">The model has no forecast for this.</p>;

  const last = points[points.length - 1]!.lead;
  const full = request[output.history_field] as number[];
  const history = full.slice(-Math.max(SHORTEST_HISTORY, 2 * last));
  const wholeList = whole[output.history_field];
  const came = (Array.isArray(wholeList) ? (wholeList as number[]) : []).slice(full.length, full.length + last);
  const values = [...history, ...came, ...points.flatMap((point) => [...point.quantiles, ...(point.baseline === null ? [] : [point.baseline])])];
  const margin = 0.06 * (Math.max(...values) - Math.min(...values)) || 1;
  const [least, most] = [Math.min(...values) - margin, Math.max(...values) + margin];
  const first = 1 - history.length;
  const x = (position: number) => PAD.left + ((position - first) / (last - first || 1)) * (width - PAD.left - PAD.right);
  const y = (value: number) => PAD.top + ((most - value) / (most - least)) * (HEIGHT - PAD.top - PAD.bottom);
  const line = (pairs: ReadonlyArray<readonly [number, number]>) => pairs.map(([one, value], index) => `${index ? "L" : "M"}${x(one).toFixed(1)} ${y(value).toFixed(1)}`).join("");

  const now = history[history.length - 1]!;
  const bands = Array.from({ length: Math.floor(output.levels.length / 2) }, (_, low) => {
    const high = output.levels.length - 1 - low;
    const upper = points.map((point) => [point.lead, point.quantiles[high]!] as const);
    const lower = points.map((point) => [point.lead, point.quantiles[low]!] as const).reverse();
    return { share: output.levels[high]! - output.levels[low]!, path: `${line([[0, now], ...upper, ...lower])}Z` };
  });
  const middle = output.levels.findIndex((level) => level === 0.5);
  const chosen = Number(request[output.lead_field]);
  const seen = points[at] ?? points.find((point) => point.lead === chosen) ?? points[points.length - 1]!;
  const nearest = (event: PointerEvent | MouseEvent) => {
    const area = (event.currentTarget as Element).getBoundingClientRect();
    const position = first + ((event.clientX - area.left - PAD.left) / (width - PAD.left - PAD.right)) * (last - first);
    const gaps = points.map((point) => Math.abs(point.lead - position));
    return position < 0.3 ? -1 : gaps.indexOf(Math.min(...gaps));
  };
  const choose = (index: number) => points[index] && set({ [output.lead_field]: points[index].lead });
  const keys = (event: KeyboardEvent) => {
    const aside = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!aside) return;
    event.preventDefault();
    choose(Math.min(points.length - 1, Math.max(0, points.indexOf(points.find((point) => point.lead === chosen) ?? seen) + aside)));
  };
  const name = (lead: number) => (step === "position" ? `${lead} ahead` : `${nameOfStep(end, lead, step)} (${lead} ${step}${lead === 1 ? "" : "s"} ahead)`);
  const outer = [0, output.levels.length - 1];
  const cameThen = came[seen.lead - 1];
  const said = `${name(seen.lead)}: ${middle >= 0 ? `${withUnit(short(seen.quantiles[middle]!), output.unit)}, ` : ""}${percent(output.levels[outer[1]!]! - output.levels[0]!)} between ${short(seen.quantiles[0]!)} and ${short(seen.quantiles[outer[1]!]!)}${cameThen === undefined ? "" : `; ${short(cameThen)} really came`}`;
  const xTicks = ticks(first, last, Math.max(2, Math.floor(width / 110))).filter((tick) => Number.isInteger(tick));
  return (
    <div ref={box}>
      <svg
        class="chart fan" width={width} height={HEIGHT} role="application" aria-roledescription="forecast" tabindex={0} aria-label={`${output.label}. ${said}. Left and right choose a lead.`}
        onPointerMove={(event) => setAt(nearest(event))} onPointerLeave={() => setAt(-1)} onClick={(event) => choose(nearest(event))} onKeyDown={keys}
      >
        {ticks(least, most, 5).map((tick) => (
          <g key={tick}>
            <line class="grid" x1={PAD.left} x2={width - PAD.right} y1={y(tick)} y2={y(tick)} />
            <text class="tick" x={PAD.left - 6} y={y(tick) + 4} text-anchor="end">{short(tick)}</text>
          </g>
        ))}
        {xTicks.map((tick) => (
          <text key={tick} class="tick" x={Math.min(width - 34, Math.max(PAD.left + 20, x(tick)))} y={HEIGHT - 8} text-anchor="middle">{nameOfStep(end, tick, step)}</text>
        ))}
        <line class="today" x1={x(0)} x2={x(0)} y1={PAD.top} y2={HEIGHT - PAD.bottom} />
        {bands.map((band, index) => <path key={index} class="band" d={band.path} />)}
        {middle >= 0 && <path class="line median" d={line([[0, now], ...points.map((point) => [point.lead, point.quantiles[middle]!] as const)])} />}
        {points.some((point) => point.baseline !== null) && <path class="line baseline" d={line(points.filter((point) => point.baseline !== null).map((point) => [point.lead, point.baseline!] as const))} />}
        <path class="line history" d={line(history.map((value, index) => [first + index, value] as const))} />
        {came.length > 0 && <path class="line came" d={line([[0, now], ...came.map((value, index) => [index + 1, value] as const)])} />}
        <line class="cursor" x1={x(seen.lead)} x2={x(seen.lead)} y1={PAD.top} y2={HEIGHT - PAD.bottom} />
        {middle >= 0 && <circle class="selected" cx={x(seen.lead)} cy={y(seen.quantiles[middle]!)} r="4.5" />}
      </svg>
      <p class="readout">{said}</p>
      <p class="legend">
        <span class="key-history">history</span>
        {bands.map((band, index) => <span key={index} class={`key-band band-${index}`}>{fixed(100 * band.share, 0)} % of outcomes</span>)}
        {middle >= 0 && <span class="key-median">median</span>}
        {points.some((point) => point.baseline !== null) && <span class="key-baseline">simple rule</span>}
        {came.length > 0 && <span class="key-came">what really came</span>}
      </p>
    </div>
  );
}

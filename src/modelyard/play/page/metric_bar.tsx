// How good a model is, on one line: its interval beside the floor and what others have published.

import type { MetricValue, PublishedValue } from "./description.ts";
import { fixed, short } from "./format.ts";

const WIDTH = 300;

export function MetricBar({ metric, published }: { metric: MetricValue; published: ReadonlyArray<PublishedValue> }) {
  const low = metric.low ?? metric.value;
  const high = metric.high ?? metric.value;
  const marks = [low, high, metric.value, ...published.map((one) => one.value)].concat(metric.floor ?? []);
  const [least, most] = [Math.min(...marks), Math.max(...marks)];
  const margin = (most - least || Math.abs(most) || 1) * 0.06;
  const x = (value: number) => ((value - least + margin) / (most - least + 2 * margin)) * WIDTH;
  const decimals = Math.abs(metric.value) >= 100 ? 1 : 3;
  const name = metric.name.replaceAll("_", " ");
  const parts = [
    `${name} ${fixed(metric.value, decimals)}`,
    metric.low !== null && metric.high !== null ? `interval ${fixed(low, decimals)} to ${fixed(high, decimals)}` : "",
    metric.floor === null ? "" : `floor ${fixed(metric.floor, decimals)}`,
    ...published.map((one) => `${one.name} ${short(one.value)} (${one.source})`),
    metric.greater_is_better ? "more is better" : "less is better",
  ].filter(Boolean);
  return (
    <div class="metric" title={[metric.meaning, ...parts].filter(Boolean).join("\n")}>
      <p class="metric-line">
        <span>{name} <span aria-hidden="true">{metric.greater_is_better ? "↑" : "↓"}</span></span>
        <strong>{fixed(metric.value, decimals)}</strong>
      </p>
      <svg viewBox={`0 0 ${WIDTH} 18`} role="img" aria-label={parts.join(", ")}>
        <line class="axis" x1="0" x2={WIDTH} y1="9" y2="9" />
        {metric.floor !== null && <line class="floor" x1={x(metric.floor)} x2={x(metric.floor)} y1="2" y2="16" />}
        {published.map((one) => <path class="published" d={`M${x(one.value)} 4 l5 5 l-5 5 l-5 -5z`} />)}
        <line class="interval" x1={x(low)} x2={x(high)} y1="9" y2="9" />
        <circle class="ours" cx={x(metric.value)} cy="9" r="4.5" />
      </svg>
      <p class="legend">
        <span class="key-ours">ours</span>
        {metric.floor !== null && <span class="key-floor">floor {short(metric.floor)}</span>}
        {published[0] && <span class="key-published">{published[0].name} {short(published[0].value)}</span>}
      </p>
    </div>
  );
}

import type * as d from "../description.ts";
import { fixed, withUnit } from "../format.ts";
import type { OutputProps } from "../widgets.ts";

const numberOf = (value: unknown) => (typeof value === "number" ? value : null);

export default function MeasureOutput({ output, response }: OutputProps<d.Measure>) {
  const value = response[output.field];
  if (typeof value !== "number") return <strong class="figure">{String(value)}</strong>;
  const [low, high] = [numberOf(response[output.low_field]), numberOf(response[output.high_field])];
  const hasInterval = low !== null && high !== null && high > low;
  const share = hasInterval ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0;
  return (
    <div class="measure-row">
      <strong class="figure">{fixed(value, output.decimals)}{output.unit && <span class="unit"> {output.unit}</span>}</strong>
      {hasInterval && (
        <div class="interval-row">
          <span class="number-text">{fixed(low, output.decimals)}</span>
          <span class="interval-track" aria-hidden="true"><span class="interval-point" style={{ left: `${100 * share}%` }} /></span>
          <span class="number-text"><span class="visually-hidden">to </span>{withUnit(fixed(high, output.decimals), output.unit)}</span>
        </div>
      )}
    </div>
  );
}

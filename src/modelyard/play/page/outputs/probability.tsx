import type * as d from "../description.ts";
import { percent } from "../format.ts";
import type { OutputProps } from "../widgets.ts";

export default function ProbabilityOutput({ output, response }: OutputProps<d.Probability>) {
  const value = Number(response[output.field]);
  return (
    <div class="probability-row">
      <strong class="figure">{percent(value)}</strong>
      <div class="track" role="meter" aria-label={output.label} aria-valuemin={0} aria-valuemax={1} aria-valuenow={value} aria-valuetext={percent(value)}>
        <div class="filled" style={{ width: `${100 * value}%` }} />
      </div>
    </div>
  );
}

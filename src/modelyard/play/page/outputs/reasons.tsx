import type * as d from "../description.ts";
import type { OutputProps } from "../widgets.ts";

export default function ReasonsOutput({ output, response }: OutputProps<d.Reasons>) {
  const value = response[output.field];
  const reasons = Array.isArray(value) ? value.map(String) : [String(value)].filter(Boolean);
  return reasons.length === 0
    ? <p class="quiet">{output.if_none}</p>
    : <ol class="reason-list">{reasons.map((reason) => <li key={reason}>{reason}</li>)}</ol>;
}

import type * as d from "../description.ts";
import type { OutputProps } from "../widgets.ts";

const SIGNS = {
  good: "M5 13l4.5 4.5L19 7.5",
  bad: "M12 6v8m0 4v.01",
  unsure: "M9 9a3 3 0 1 1 4.2 2.8c-.8.4-1.2 1-1.2 2.2m0 4v.01",
  neutral: "M6 12h12",
};

export default function VerdictOutput({ output, response }: OutputProps<d.Verdict>) {
  const value = String(response[output.field]);
  const tone = output.tones[value] ?? "neutral";
  const text = output.names[value] ?? value;
  return (
    <p class={`verdict-text ${tone}`}>
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d={SIGNS[tone]} /></svg>
      {text.charAt(0).toUpperCase() + text.slice(1)}
    </p>
  );
}

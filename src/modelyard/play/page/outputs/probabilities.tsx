import { useState } from "preact/hooks";
import type * as d from "../description.ts";
import { percent } from "../format.ts";
import type { OutputProps } from "../widgets.ts";

export default function ProbabilitiesOutput({ output, response }: OutputProps<d.Probabilities>) {
  const [isWhole, setIsWhole] = useState(false);
  const all = Object.entries(response[output.field] as Record<string, number>).sort(([, one], [, other]) => other - one);
  const shown = isWhole ? all : all.slice(0, output.most);
  return (
    <>
      <ol class="bars">
        {shown.map(([name, value]) => (
          <li key={name}>
            <span>{output.names[name] ?? name}</span>
            <span class="track" aria-hidden="true"><span class="filled" style={{ width: `${100 * value}%` }} /></span>
            <span class="number-text">{percent(value)}</span>
          </li>
        ))}
      </ol>
      {all.length > output.most && <button class="link" type="button" onClick={() => setIsWhole(!isWhole)}>{isWhole ? "Fewer" : `All ${all.length}`}</button>}
    </>
  );
}

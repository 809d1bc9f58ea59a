import { useRef } from "preact/hooks";
import type * as d from "../description.ts";
import type { InputProps } from "../widgets.ts";

/** Up to here all options stand side by side. */
const FEW = 5;

export default function ChoiceInput({ input, id, errorId, request, set }: InputProps<d.Choice>) {
  const value = request[input.field];
  const kind = useRef(typeof value).current;
  const choose = (chosen: string) =>
    set({ [input.field]: kind === "boolean" ? chosen === "true" : kind === "number" ? Number(chosen) : chosen });
  const options = Object.entries(input.options);
  const letters = options.reduce((count, [, name]) => count + name.length, 0);
  if (options.length > FEW || letters > 60) {
    return (
      <select id={id} class="line" value={String(value)} aria-describedby={errorId} onChange={(event) => choose(event.currentTarget.value)}>
        {!(String(value) in input.options) && <option value={String(value)}>{value === null || value === undefined ? "not given" : String(value)}</option>}
        {options.map(([one, name]) => <option key={one} value={one}>{name}</option>)}
      </select>
    );
  }
  return (
    <div class="segments" role="radiogroup" aria-labelledby={`${id}-label`} aria-describedby={errorId}>
      {options.map(([one, name], index) => (
        <label key={one}>
          <input type="radio" name={id} id={index === 0 ? id : undefined} checked={String(value) === one} onChange={() => choose(one)} />
          <span>{name}</span>
        </label>
      ))}
    </div>
  );
}

import { useEffect, useState } from "preact/hooks";
import type { Values } from "../api.ts";
import type * as d from "../description.ts";
import { fixed, typedNumber, withUnit } from "../format.ts";
import type { InputProps } from "../widgets.ts";

/** Positions of a logarithmic slider. */
const POSITIONS = 400;

export default function NumberInput({ input, id, errorId, request, set }: InputProps<d.Number>) {
  const value = request[input.field];
  const known = typeof value === "number" ? value : null;
  const decimals = Number.isInteger(input.step) ? 0 : Math.min(6, Math.max(0, Math.ceil(-Math.log10(input.step) - 1e-9)));
  const written = known === null ? "" : String(Number(known.toFixed(Math.max(decimals, 2))));
  const [text, setText] = useState(written);
  useEffect(() => {
    if (typedNumber(text) !== known) setText(written);
  }, [known]);
  // A logarithm has no nought: the slider then begins a step above it.
  const least = input.is_logarithmic ? Math.max(input.minimum, input.step) : input.minimum;
  const toPosition = (one: number) => input.is_logarithmic ? POSITIONS * Math.log(Math.max(one, least) / least) / Math.log(input.maximum / least) : one;
  const toValue = (position: number) => {
    const one = input.is_logarithmic ? least * (input.maximum / least) ** (position / POSITIONS) : position;
    const stepped = input.minimum + Math.round((one - input.minimum) / input.step) * input.step;
    return Number(Math.min(input.maximum, Math.max(input.minimum, stepped)).toFixed(decimals));
  };
  const [from, to] = input.is_logarithmic ? [0, POSITIONS] : [input.minimum, input.maximum];
  const position = Math.min(to, Math.max(from, toPosition(known ?? input.minimum)));
  const change = (number: number) => set({ [input.field]: number, ...following(input, request, number) });
  const type = (typed: string) => {
    setText(typed);
    const found = typedNumber(typed);
    if (found !== null) change(decimals === 0 ? Math.round(found) : found);
  };
  return (
    <div class="number-row">
      <input
        class="slider" type="range" min={from} max={to} step={input.is_logarithmic ? 1 : input.step} value={position}
        style={{ "--filled": `${(100 * (position - from)) / (to - from || 1)}%` }} aria-labelledby={`${id}-label`}
        aria-valuetext={known === null ? "not given" : withUnit(fixed(known, decimals), input.unit)}
        onInput={(event) => change(toValue(Number(event.currentTarget.value)))}
      />
      <span class="with-unit">
        <input
          id={id} class="line short" type="text" inputMode="decimal" autocomplete="off" value={text} placeholder="not given"
          aria-invalid={errorId !== undefined || (text !== "" && typedNumber(text) === null)} aria-describedby={errorId}
          onInput={(event) => type(event.currentTarget.value)} onBlur={() => setText(written)}
        />
        {input.unit && <span class="unit">{input.unit}</span>}
      </span>
    </div>
  );
}

/** What else changes with the number: fields that are the same, the ends of lists, and ratios to other fields. */
function following(input: d.Number, request: Values, number: number): Values {
  const same = input.sets.map((field) => {
    const before = request[field];
    return [field, Array.isArray(before) ? [...before.slice(0, -1), number] : number] as const;
  });
  const ratios = Object.entries(input.sets_ratios).flatMap(([field, other]) => {
    const divisor = input.sets.includes(other) ? number : request[other];
    return typeof divisor === "number" && divisor !== 0 ? [[field, number / divisor] as const] : [];
  });
  return Object.fromEntries([...same, ...ratios]);
}

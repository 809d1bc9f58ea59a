// Which widget shows which kind of input and output. Each is a file of its own that is loaded where a page needs it.

import type { ComponentType } from "preact";
import type { Values } from "./api.ts";
import type * as d from "./description.ts";

export interface InputProps<D> {
  input: D;
  /** Of the element that the label names. */
  id: string;
  /** Of the text that says what is wrong; undefined where nothing is. */
  errorId: string | undefined;
  request: Values;
  /** What the request would be with "today" not pulled back: whole lists, and their latest time. */
  whole: Values;
  /** Changes fields of the request, and of the whole. */
  set: (changed: Values, whole?: Values) => void;
}

export interface OutputProps<D> {
  output: D;
  play: d.PlayPage;
  /** What was asked. */
  request: Values;
  whole: Values;
  response: Values;
  /** The answers for each lead of a fan chart, in the order of its leads. */
  leads: ReadonlyArray<Values>;
  /** Whether further pieces are coming. */
  isComposing: boolean;
  set: (changed: Values) => void;
}

type Modules<Kinds extends { kind: string }, Props> = {
  [Kind in Kinds["kind"]]: () => Promise<{ default: ComponentType<Props> }>;
};

// Each widget takes the description of its own kind; the page gives it nothing else.
const any = <P>(load: () => Promise<{ default: ComponentType<P> }>) => load as () => Promise<{ default: ComponentType<never> }>;

export const inputs: Modules<d.Input, never> = {
  number: any(() => import("./inputs/number.tsx")),
  choice: any(() => import("./inputs/choice.tsx")),
  text: any(() => import("./inputs/text.tsx")),
  moment: any(() => import("./inputs/moment.tsx")),
  picture: any(() => import("./inputs/picture.tsx")),
  bars: any(() => import("./inputs/bars.tsx")),
  series: any(() => import("./inputs/series.tsx")),
  piano_roll: any(() => import("./inputs/piano_roll.tsx")),
};

export const outputs: Modules<d.Output, never> = {
  probability: any(() => import("./outputs/probability.tsx")),
  probabilities: any(() => import("./outputs/probabilities.tsx")),
  verdict: any(() => import("./outputs/verdict.tsx")),
  measure: any(() => import("./outputs/measure.tsx")),
  reasons: any(() => import("./outputs/reasons.tsx")),
  heat_map: any(() => import("./outputs/heat_map.tsx")),
  fan_chart: any(() => import("./outputs/fan_chart.tsx")),
  music: any(() => import("./outputs/music.tsx")),
};

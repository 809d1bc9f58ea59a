// Times as requests have them: ISO 8601, perhaps with an offset from UTC, which is kept as it is written.

import type { Values } from "./api.ts";
import type { Series } from "./description.ts";

export type Step = Series["step"];

/** The time between two neighbours of a series. */
export function stepOf(series: Series, request: Values): Step {
  return series.step_field ? series.steps[String(request[series.step_field])] ?? series.step : series.step;
}

export interface Written {
  /** The date and time as written, as if they were UTC. */
  local: Date;
  offset: string;
  hasTime: boolean;
}

const FORM = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?)?$/;

/** The parts of a written time; null where it is none. */
export function readTime(text: string): Written | null {
  const found = FORM.exec(text.trim());
  if (!found) return null;
  const [, year, month, day, hour = "0", minute = "0", second = "0", offset = ""] = found;
  const local = new Date(Date.UTC(+year!, +month! - 1, +day!, +hour, +minute, +second));
  if (local.getUTCDate() !== +day! || +hour > 23 || +minute > 59) return null;
  return { local, offset, hasTime: found[4] !== undefined };
}

/** A time in ISO 8601. */
export function writeTime({ local, offset, hasTime }: Written): string {
  const text = local.toISOString();
  return hasTime ? text.slice(0, 19) + offset : text.slice(0, 10);
}

/** The time a number of steps later (earlier where negative); a month that is too short ends on its last day. */
export function moved(time: Written, steps: number, step: Step): Written {
  const local = new Date(time.local);
  const months = { month: 1, quarter: 3, year: 12 }[step as string];
  if (months) {
    const day = local.getUTCDate();
    local.setUTCDate(1);
    local.setUTCMonth(local.getUTCMonth() + steps * months);
    const last = new Date(Date.UTC(local.getUTCFullYear(), local.getUTCMonth() + 1, 0)).getUTCDate();
    local.setUTCDate(Math.min(day, last));
  } else if (step !== "position") {
    local.setUTCDate(local.getUTCDate() + steps * (step === "week" ? 7 : 1));
  }
  return { ...time, local };
}

/** What an axis says of a time: as much as its steps can be told apart by. */
export function shortTime({ local }: Written, step: Step): string {
  const text = local.toISOString();
  return step === "year" ? text.slice(0, 4) : step === "month" || step === "quarter" ? text.slice(0, 7) : text.slice(0, 10);
}

/** What a position of a series is called: its time where the request has one, else how far back it lies. */
export function nameOfStep(end: unknown, stepsAfter: number, step: Step): string {
  const time = typeof end === "string" && step !== "position" ? readTime(end) : null;
  if (time) return shortTime(moved(time, stepsAfter, step), step);
  return stepsAfter === 0 ? "latest" : stepsAfter > 0 ? `+${stepsAfter}` : `−${-stepsAfter}`;
}

// How numbers and times are written, everywhere on the page: English, with a decimal point.

const formats = new Map<string, Intl.NumberFormat>();

function formatOf(options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const name = JSON.stringify(options);
  const known = formats.get(name) ?? new Intl.NumberFormat("en-US", options);
  formats.set(name, known);
  return known;
}

/** A number with a fixed count of decimals, with a true minus sign. */
export function fixed(value: number, decimals: number): string {
  return formatOf({ minimumFractionDigits: decimals, maximumFractionDigits: decimals }).format(value).replace("-", "−");
}

/** A number with as many digits as help: three or four. */
export function short(value: number): string {
  const digits = Number.isInteger(value) && Math.abs(value) < 1e6 ? 6 : 3;
  return formatOf({ maximumSignificantDigits: digits }).format(value).replace("-", "−");
}

/** A probability in percent; what is not nought does not look like it. */
export function percent(share: number): string {
  if (share > 0 && share < 0.001) return "<0.1 %";
  if (share < 1 && share > 0.999) return ">99.9 %";
  return `${fixed(100 * share, share < 0.1 || share > 0.9 ? 1 : 0)} %`;
}

/** A number and its unit. */
export function withUnit(text: string, unit: string): string {
  return unit ? `${text} ${unit}` : text;
}

/** Milliseconds, or seconds from one on. */
export function duration(ms: number): string {
  return ms < 1000 ? `${fixed(ms, 0)} ms` : `${fixed(ms / 1000, 1)} s`;
}

/** Minutes and seconds of a player. */
export function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** How long ago a moment was, in words. */
export function ago(iso: string, now = Date.now()): string {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  const units: ReadonlyArray<[number, string]> = [[86400, "day"], [3600, "hour"], [60, "minute"]];
  for (const [length, name] of units) {
    const count = Math.floor(seconds / length);
    if (count >= 1) return `${count} ${name}${count === 1 ? "" : "s"} ago`;
  }
  return "just now";
}

/** The number that somebody typed, with a decimal point or comma; null where it is none. */
export function typedNumber(text: string): number | null {
  const plain = text.trim().replace("−", "-").replace(",", ".");
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : null;
}

/** The numbers that somebody pasted: one a line, or parted by blanks, tabs, semicolons or commas. */
export function typedNumbers(text: string): { values: number[]; wrong: string[] } {
  // Where something else parts them, a comma is a decimal comma.
  const parts = /[\s;]/.test(text.trim().replace(/,\s+/g, ",")) ? /[\s;]+|,\s+/ : /,/;
  const words = text.trim().split(parts).filter(Boolean);
  const found = words.map((word) => typedNumber(word));
  return {
    values: found.filter((value): value is number => value !== null),
    wrong: words.filter((_, index) => found[index] === null),
  };
}

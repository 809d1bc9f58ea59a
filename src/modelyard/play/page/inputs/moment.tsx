import { useEffect, useState } from "preact/hooks";
import type * as d from "../description.ts";
import { moved, readTime, writeTime, type Written } from "../times.ts";
import type { InputProps } from "../widgets.ts";

const NOW = (): Written => ({ local: new Date(), offset: "Z", hasTime: true });

export default function MomentInput({ input, id, errorId, request, set }: InputProps<d.Moment>) {
  const value = request[input.field];
  const time = typeof value === "string" ? readTime(value) : null;
  const written = time ? writeTime(time).slice(0, 16).replace("T", " ") : "";
  const [text, setText] = useState(written);
  useEffect(() => setText(written), [written]);
  const send = (next: Written) => set({ [input.field]: writeTime({ ...next, hasTime: true, offset: next.offset || "Z" }) });
  const type = (typed: string) => {
    setText(typed);
    const found = readTime(typed);
    if (found) send({ ...found, offset: time?.offset ?? "Z" });
  };
  const minutes = time ? time.local.getUTCHours() * 60 + time.local.getUTCMinutes() : 0;
  const slide = (next: number) => {
    const local = new Date((time ?? NOW()).local);
    local.setUTCHours(Math.floor(next / 60), next % 60);
    send({ ...(time ?? NOW()), local });
  };
  const offset = !time || time.offset === "Z" || time.offset === "" ? "UTC" : `UTC${time.offset}`;
  return (
    <div class="moment-rows">
      <span class="with-unit">
        <button class="button small" type="button" aria-label="A day earlier" onClick={() => send(moved(time ?? NOW(), -1, "day"))}>−</button>
        <input
          id={id} class="line" type="text" autocomplete="off" value={text} placeholder="YYYY-MM-DD HH:MM"
          aria-invalid={errorId !== undefined || (text !== "" && !readTime(text))} aria-describedby={errorId}
          onInput={(event) => type(event.currentTarget.value)} onBlur={() => setText(written)}
        />
        <button class="button small" type="button" aria-label="A day later" onClick={() => send(moved(time ?? NOW(), 1, "day"))}>+</button>
        <span class="unit">{offset}</span>
      </span>
      <input
        class="slider" type="range" min="0" max="1435" step="5" value={minutes} aria-label={`${input.label}: time of day`}
        aria-valuetext={written.slice(11)} style={{ "--filled": `${minutes / 14.35}%` }} onInput={(event) => slide(Number(event.currentTarget.value))}
      />
    </div>
  );
}

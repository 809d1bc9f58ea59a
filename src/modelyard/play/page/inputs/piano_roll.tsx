// Notes to be clicked.

import { useEffect, useRef, useState } from "preact/hooks";
import type * as d from "../description.ts";
import { nameOfPitch, notesOf, pitchesOf, shownKeys } from "../notes.ts";
import { drawRoll } from "../roll_drawing.ts";
import { useColours, useWidth } from "../sizes.ts";
import { soundOnce } from "../sound.ts";
import type { InputProps } from "../widgets.ts";

const KEY_HEIGHT = 9;

export default function PianoRollInput({ input, id, errorId, request, whole, set }: InputProps<d.PianoRoll>) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(box);
  const colours = useColours();
  const frames = (Array.isArray(request[input.field]) ? request[input.field] : []) as string[];
  const notes = notesOf(frames);
  const [selected, setSelected] = useState<{ frame: number; pitch: number } | undefined>();
  const painting = useRef<boolean | null>(null);
  // The keys do not move while one clicks: they only become more.
  const keysOf = () => shownKeys(notes, input.lowest, input.highest);
  const keys = useRef(keysOf());
  const begun = useRef(whole);
  if (begun.current !== whole && !notes.every((note) => note.pitch >= keys.current[0] && note.pitch <= keys.current[1])) keys.current = keysOf();
  begun.current = whole;
  const [low, high] = keys.current;
  const height = (high - low + 1) * KEY_HEIGHT;
  useEffect(() => {
    if (canvas.current) drawRoll(canvas.current, width, height, { notes, nFrames: frames.length, nGiven: 0, keys: [low, high], at: -1, selected });
  }, [frames, width, colours, selected, low, high]);

  const toggle = (frame: number, pitch: number, wanted?: boolean): boolean => {
    const pitches = new Set(pitchesOf(frames)[frame]);
    const isOn = wanted ?? !pitches.has(pitch);
    if (isOn === pitches.has(pitch)) return isOn;
    if (isOn) pitches.add(pitch);
    else pitches.delete(pitch);
    const sorted = [...pitches].sort((a, b) => a - b);
    set({ [input.field]: frames.map((one, index) => (index === frame ? sorted.join(" ") : one)) });
    if (isOn) soundOnce([pitch]);
    return isOn;
  };
  const locate = (event: PointerEvent) => {
    const area = canvas.current!.getBoundingClientRect();
    const frame = Math.floor(((event.clientX - area.left) / area.width) * frames.length);
    const pitch = high - Math.floor(((event.clientY - area.top) / area.height) * (high - low + 1));
    return { frame: Math.min(frames.length - 1, Math.max(0, frame)), pitch: Math.min(high, Math.max(low, pitch)) };
  };
  const press = (event: PointerEvent) => {
    const { frame, pitch } = locate(event);
    canvas.current!.setPointerCapture(event.pointerId);
    painting.current = toggle(frame, pitch);
  };
  const move = (event: PointerEvent) => {
    if (painting.current === null || event.buttons === 0) return;
    const { frame, pitch } = locate(event);
    toggle(frame, pitch, painting.current);
  };
  const key = (event: KeyboardEvent) => {
    const at = selected ?? { frame: 0, pitch: Math.round((low + high) / 2) };
    const moves: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const [aside, up] = moves[event.key] ?? [0, 0];
    if (event.key === " " || event.key === "Enter") toggle(at.frame, at.pitch);
    else if (aside === 0 && up === 0) return;
    event.preventDefault();
    setSelected({ frame: Math.min(frames.length - 1, Math.max(0, at.frame + aside)), pitch: Math.min(high, Math.max(low, at.pitch + up)) });
  };
  const resize = (count: number) =>
    set({ [input.field]: Array.from({ length: Math.min(input.longest, Math.max(1, count)) }, (_, index) => frames[index] ?? "") });
  const isOn = selected && pitchesOf(frames)[selected.frame]?.includes(selected.pitch);
  return (
    <div ref={box}>
      <canvas
        ref={canvas} id={id} class="roll editable" style={{ height: `${height}px` }} tabindex={0} role="application" aria-roledescription="piano roll"
        aria-label={`${input.label}: ${frames.length} frames, ${notes.length} notes. Arrows move, space sets or clears a note.`} aria-describedby={errorId}
        onPointerDown={press} onPointerMove={move} onPointerUp={() => (painting.current = null)} onKeyDown={key} onBlur={() => setSelected(undefined)}
      />
      <div class="tools">
        <button class="button" type="button" onClick={() => resize(frames.length + 1)} disabled={frames.length >= input.longest}>Longer</button>
        <button class="button" type="button" onClick={() => resize(frames.length - 1)} disabled={frames.length <= 1}>Shorter</button>
        <button class="button" type="button" onClick={() => set({ [input.field]: frames.map(() => "") })}>Clear</button>
        <span class="quiet" aria-live="polite">
          {selected ? `Frame ${selected.frame + 1}, ${nameOfPitch(selected.pitch)}, ${isOn ? "sounds" : "silent"}` : `${frames.length} frames; click to set a note`}
        </span>
      </div>
    </div>
  );
}

// A piano roll on a canvas: time to the right, keys upwards.

import { isBlackKey, type Note } from "./notes.ts";
import { colour, prepared } from "./sizes.ts";

export interface Roll {
  notes: ReadonlyArray<Note>;
  nFrames: number;
  /** Notes that begin before this frame were given; the others are the model's. */
  nGiven: number;
  keys: [number, number];
  /** Frame of the cursor, fractions too; below 0: none. */
  at: number;
  /** Key and frame that the keyboard stands on. */
  selected?: { frame: number; pitch: number } | undefined;
}

export function drawRoll(canvas: HTMLCanvasElement, width: number, height: number, roll: Roll): void {
  const context = prepared(canvas, width, height);
  const [low, high] = roll.keys;
  const keyHeight = height / (high - low + 1);
  const frameWidth = width / Math.max(1, roll.nFrames);
  const top = (pitch: number) => (high - pitch) * keyHeight;
  context.fillStyle = colour("roll");
  context.fillRect(0, 0, width, height);
  for (let pitch = low; pitch <= high; pitch++) {
    context.fillStyle = isBlackKey(pitch) ? colour("roll-black") : colour("roll");
    context.fillRect(0, top(pitch), width, keyHeight);
    if (pitch % 12 === 0) {
      context.fillStyle = colour("roll-line");
      context.fillRect(0, top(pitch) + keyHeight - 1, width, 1);
      context.fillStyle = colour("quiet");
      context.font = "10px system-ui, sans-serif";
      context.fillText(`C${pitch / 12 - 1}`, 3, top(pitch) + keyHeight - 2);
    }
  }
  if (frameWidth > 7) {
    context.fillStyle = colour("roll-line");
    for (let frame = 0; frame <= roll.nFrames; frame++) context.fillRect(frame * frameWidth, 0, frame % 4 ? 0.5 : 1, height);
  }
  const [sounding, given, accent] = [colour("sounding"), colour("given"), colour("accent")];
  for (const note of roll.notes) {
    const isSounding = roll.at >= note.begin && roll.at < note.end;
    const isGiven = note.begin < roll.nGiven;
    context.fillStyle = isSounding ? sounding : isGiven ? given : accent;
    context.beginPath();
    const radius = Math.min(3, keyHeight / 2);
    context.roundRect(note.begin * frameWidth + 0.5, top(note.pitch) + 0.5, Math.max(2, (note.end - note.begin) * frameWidth - 1), Math.max(2, keyHeight - 1), radius);
    context.fill();
  }
  if (roll.nGiven > 0 && roll.nGiven < roll.nFrames) {
    context.fillStyle = colour("quiet");
    for (let y = 0; y < height; y += 7) context.fillRect(roll.nGiven * frameWidth - 0.5, y, 1, 4);
  }
  if (roll.selected) {
    context.strokeStyle = colour("text");
    context.lineWidth = 1.5;
    context.strokeRect(roll.selected.frame * frameWidth + 1, top(roll.selected.pitch) + 1, frameWidth - 2, keyHeight - 2);
  }
  if (roll.at >= 0) {
    context.fillStyle = colour("text");
    context.fillRect(roll.at * frameWidth, 0, 1.5, height);
  }
}

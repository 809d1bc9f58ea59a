// Notes by frame, as requests have them: one string of MIDI numbers a frame, parted by blanks.

export interface Note {
  pitch: number;
  begin: number;
  /** First frame in which it does not sound. */
  end: number;
}

/** The MIDI numbers of each frame. */
export function pitchesOf(frames: ReadonlyArray<string>): number[][] {
  return frames.map((frame) => frame.split(/\s+/).filter(Boolean).map(Number));
}

/** Frames to notes: a key that sounds in neighbouring frames is held. */
export function notesOf(frames: ReadonlyArray<string>): Note[] {
  const notes: Note[] = [];
  const held = new Map<number, Note>();
  pitchesOf(frames).forEach((pitches, frame) => {
    for (const pitch of pitches) {
      const before = held.get(pitch);
      if (before && before.end === frame) before.end = frame + 1;
      else {
        const note = { pitch, begin: frame, end: frame + 1 };
        held.set(pitch, note);
        notes.push(note);
      }
    }
  });
  return notes;
}

const NAMES = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"];

/** The name of a MIDI number: 60 is C4. */
export function nameOfPitch(pitch: number): string {
  return `${NAMES[pitch % 12]}${Math.floor(pitch / 12) - 1}`;
}

export function isBlackKey(pitch: number): boolean {
  return [1, 3, 6, 8, 10].includes(pitch % 12);
}

/** The keys that are shown: those that sound, with room about them, two octaves at least. */
export function shownKeys(notes: ReadonlyArray<Note>, lowest: number, highest: number): [number, number] {
  const pitches = notes.map((note) => note.pitch);
  let from = Math.min(60, ...pitches) - 4;
  let to = Math.max(72, ...pitches) + 4;
  while (to - from < 24) [from, to] = [from - 1, to + 1];
  return [Math.max(lowest, from), Math.min(highest, to)];
}

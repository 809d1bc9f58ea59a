// Notes to sound: a plucked string of a few harmonics, summed up in numbers, so that what is heard is what is saved.

import type { Note } from "./notes.ts";

const RATE = 32_000;
const HARMONICS = [1, 0.45, 0.22, 0.1, 0.05];
const RELEASE_S = 0.35;

/** The samples of some notes, from -1 to 1. */
export function samplesOf(notes: ReadonlyArray<Note>, secondsPerFrame: number): Float32Array {
  const length = Math.max(0, ...notes.map((note) => note.end)) * secondsPerFrame + RELEASE_S;
  const samples = new Float32Array(Math.ceil(length * RATE));
  for (const note of notes) add(samples, note, secondsPerFrame);
  let peak = 0;
  for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
  const gain = peak > 0 ? 0.85 / peak : 0;
  return samples.map((sample) => sample * gain);
}

function add(samples: Float32Array, note: Note, secondsPerFrame: number): void {
  const frequency = 440 * 2 ** ((note.pitch - 69) / 12);
  const from = Math.round(note.begin * secondsPerFrame * RATE);
  const held = Math.round((note.end - note.begin) * secondsPerFrame * RATE);
  const count = Math.min(samples.length - from, held + Math.round(RELEASE_S * RATE));
  const attack = 0.008 * RATE;
  HARMONICS.forEach((share, index) => {
    const partial = frequency * (index + 1);
    if (partial > RATE / 2.2) return;
    // sin((n + 1) w) = 2 cos(w) sin(n w) - sin((n - 1) w): no sine for each sample
    const step = (2 * Math.PI * partial) / RATE;
    const twice = 2 * Math.cos(step);
    let [before, now] = [-Math.sin(step), 0];
    const fade = Math.exp(-(0.7 + 0.6 * index) / RATE);
    const release = Math.exp(-9 / (RELEASE_S * RATE));
    let level = 0.25 * share;
    for (let at = 0; at < count; at++) {
      samples[from + at]! += now * level * Math.min(1, at / attack);
      [before, now] = [now, twice * now - before];
      level *= at < held ? fade : release;
    }
  });
}

/** A WAV file (16 bits, one channel) of samples. */
export function wavOf(samples: Float32Array): Blob {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at: number, name: string) => [...name].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, index) => view.setInt16(44 + 2 * index, Math.round(32_767 * sample), true));
  return new Blob([view.buffer], { type: "audio/wav" });
}

/** Sounds one frame at once, softly. */
export function soundOnce(pitches: ReadonlyArray<number>): void {
  const notes = pitches.map((pitch) => ({ pitch, begin: 0, end: 1 }));
  const url = URL.createObjectURL(wavOf(samplesOf(notes, 0.4)));
  const audio = new Audio(url);
  audio.volume = 0.5;
  audio.onended = () => URL.revokeObjectURL(url);
  audio.play().catch(() => URL.revokeObjectURL(url));
}

// A piece to look at and to listen to.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type * as d from "../description.ts";
import { clock } from "../format.ts";
import { notesOf, shownKeys } from "../notes.ts";
import { bytesOf } from "../pictures.ts";
import { drawRoll } from "../roll_drawing.ts";
import { useColours, useWidth } from "../sizes.ts";
import { samplesOf, wavOf } from "../sound.ts";
import type { OutputProps } from "../widgets.ts";

const HEIGHT = 260;
const LIST = (value: unknown) => (Array.isArray(value) ? (value as string[]) : []);

export default function MusicOutput({ output, request, response, isComposing }: OutputProps<d.Music>) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const audio = useRef<HTMLAudioElement>(null);
  const width = useWidth(box);
  const colours = useColours();
  const [second, setSecond] = useState(0);
  const [isPlaying, setIsPlaying] = useState(false);
  const [source, setSource] = useState("");
  const given = LIST(request[output.beginning_field]);
  const composed = LIST(response[output.field]);
  const frames = useMemo(() => [...given, ...composed], [request, response]);
  const notes = useMemo(() => notesOf(frames), [frames]);
  const length = frames.length * output.seconds_per_frame;
  // While a piece is composed it gets the room of the one before, so that its notes do not shrink with every frame.
  const room = useRef(0);
  if (!isComposing) room.current = frames.length;
  const nFrames = Math.max(frames.length, room.current);

  // The sound is made when somebody wants to hear it; another piece begins anew.
  useEffect(() => {
    audio.current?.pause();
    setSecond(0);
    setSource("");
  }, [frames]);
  useEffect(() => () => URL.revokeObjectURL(source), [source]);
  const sound = () => source || URL.createObjectURL(wavOf(samplesOf(notes, output.seconds_per_frame)));
  const play = () => {
    const player = audio.current!;
    if (isPlaying) return player.pause();
    if (!source) {
      const made = sound();
      setSource(made);
      player.src = made;
    }
    player.currentTime = second >= length ? 0 : second;
    void player.play();
  };
  useEffect(() => {
    if (!isPlaying) return;
    let frame = 0;
    const follow = () => {
      setSecond(audio.current?.currentTime ?? 0);
      frame = requestAnimationFrame(follow);
    };
    follow();
    return () => cancelAnimationFrame(frame);
  }, [isPlaying]);
  const seek = (to: number) => {
    setSecond(to);
    if (source && audio.current) audio.current.currentTime = to;
  };
  useEffect(() => {
    const at = isPlaying || second > 0 ? second / output.seconds_per_frame : -1;
    if (canvas.current) drawRoll(canvas.current, width, HEIGHT, { notes, nFrames, nGiven: given.length, keys: shownKeys(notes, output.lowest, output.highest), at });
  }, [notes, width, colours, second, isPlaying, nFrames]);
  const seekOnRoll = (event: MouseEvent) => {
    const area = canvas.current!.getBoundingClientRect();
    seek(Math.min(length, ((event.clientX - area.left) / area.width) * nFrames * output.seconds_per_frame));
  };
  const midi = response[output.midi_field];
  const save = (url: string, name: string) => {
    const link = Object.assign(document.createElement("a"), { href: url, download: name });
    link.click();
  };
  const saveMidi = () => {
    const url = URL.createObjectURL(new Blob([bytesOf(midi as string)], { type: "audio/midi" }));
    save(url, "piece.mid");
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  };
  const saveWav = () => {
    const made = sound();
    setSource(made);
    if (audio.current && !source) audio.current.src = made;
    save(made, "piece.wav");
  };
  return (
    <div ref={box}>
      <canvas
        ref={canvas} class="roll" style={{ height: `${HEIGHT}px` }} role="img" onClick={seekOnRoll}
        aria-label={`${given.length} frames were given, ${composed.length} composed: ${notes.length} notes in ${clock(length)}`}
      />
      <div class="player">
        <button class="icon-button play" type="button" aria-label={isPlaying ? "Pause" : "Play"} disabled={composed.length === 0} onClick={play}>
          <svg viewBox="0 0 24 24" aria-hidden="true"><path d={isPlaying ? "M8 5v14M16 5v14" : "M8 5l11 7-11 7z"} /></svg>
        </button>
        <input
          class="slider" type="range" min="0" max={length} step="0.05" value={second} aria-label="Place in the piece" aria-valuetext={`${clock(second)} of ${clock(length)}`}
          style={{ "--filled": `${(100 * second) / (length || 1)}%` }} onInput={(event) => seek(Number(event.currentTarget.value))}
        />
        <span class="number-text quiet">{clock(second)} / {clock(length)}</span>
      </div>
      <div class="tools">
        <button class="button" type="button" disabled={typeof midi !== "string"} onClick={saveMidi}>Save MIDI</button>
        <button class="button" type="button" disabled={isComposing} onClick={saveWav}>Save WAV</button>
        <span class="legend"><span class="key-given">given</span><span class="key-ours">composed</span></span>
      </div>
      <audio ref={audio} onPlay={() => setIsPlaying(true)} onPause={() => setIsPlaying(false)} onEnded={() => { setIsPlaying(false); setSecond(0); }} />
    </div>
  );
}

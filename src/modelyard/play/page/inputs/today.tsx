interface Cut {
  id: string;
  shortest: number;
  length: number;
  cut: number;
  /** What the latest position that is sent is called. */
  name: string;
  onCut: (length: number) => void;
}

/** Pulls "today" back: what comes after it is not sent. */
export function Today({ id, shortest, length, cut, name, onCut }: Cut) {
  if (length <= shortest) return null;
  return (
    <div class="today-row">
      <label class="label" for={`${id}-today`}>“Today”</label>
      <input
        id={`${id}-today`} class="slider" type="range" min={shortest} max={length} step="1" value={cut} aria-valuetext={name}
        style={{ "--filled": `${(100 * (cut - shortest)) / (length - shortest)}%` }} onInput={(event) => onCut(Number(event.currentTarget.value))}
      />
      <span class="quiet">{name}{cut < length ? ` · ${length - cut} held back` : ""}</span>
    </div>
  );
}

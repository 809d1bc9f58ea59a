// Where the model looked, over the picture that it was sent.

import { useEffect, useRef, useState } from "preact/hooks";
import type * as d from "../description.ts";
import { short } from "../format.ts";
import { dataAddress } from "../pictures.ts";
import type { OutputProps } from "../widgets.ts";

// Corners of matplotlib's inferno: dark where the model did not look, light where it did.
const COLOURS = [[20, 11, 54], [101, 21, 110], [188, 55, 84], [237, 105, 37], [251, 180, 26], [252, 255, 164]] as const;
const SMALL = 80;

export default function HeatMapOutput({ output, request, response }: OutputProps<d.HeatMap>) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [strength, setStrength] = useState(0.6);
  const [[width, height], setSize] = useState([1, 1]);
  const rows = response[output.field] as ReadonlyArray<ReadonlyArray<number>>;
  const picture = request[output.picture_field];
  useEffect(() => {
    const [nRows, nColumns] = [rows.length, rows[0]?.length ?? 0];
    if (!canvas.current || nColumns === 0) return;
    canvas.current.width = nColumns;
    canvas.current.height = nRows;
    const context = canvas.current.getContext("2d")!;
    const image = context.createImageData(nColumns, nRows);
    rows.flat().forEach((value, index) => image.data.set([...coloured(value), 255 * Math.min(1, 0.1 + value)], 4 * index));
    context.putImageData(image, 0, 0);
  }, [rows]);
  const side = Math.min(width, height);
  const seen = output.is_centred
    ? { inset: "auto", left: `${50 * (1 - side / width)}%`, top: `${50 * (1 - side / height)}%`, width: `${(100 * side) / width}%`, height: `${(100 * side) / height}%` }
    : {};
  let brightest = { value: -1, row: 0, column: 0 };
  rows.forEach((row, at) => row.forEach((value, column) => {
    if (value > brightest.value) brightest = { value, row: at, column };
  }));
  const place = `${third(brightest.row, rows.length, ["upper", "middle", "lower"])} ${third(brightest.column, rows[0]?.length ?? 1, ["left", "centre", "right"])}`;
  return (
    <>
      <div class="overlay">
        {typeof picture === "string" && (
          <img class={Math.max(width, height) < SMALL ? "pixels" : ""} src={dataAddress(picture)} alt="The picture that was sent" onLoad={({ currentTarget: image }) => setSize([image.naturalWidth, image.naturalHeight])} />
        )}
        <canvas ref={canvas} role="img" aria-label={`${output.label}: strongest in the ${place}, ${short(brightest.value)} of 1`} style={{ opacity: strength, ...seen }} />
      </div>
      {brightest.value <= 0 && <p class="quiet">Nothing on this picture stands out.</p>}
      <label class="strength">
        <span class="quiet">Picture</span>
        <input class="slider" type="range" min="0" max="1" step="0.05" value={strength} style={{ "--filled": `${100 * strength}%` }} aria-label="How strongly the heat map covers the picture" onInput={(event) => setStrength(Number(event.currentTarget.value))} />
        <span class="quiet">Heat map</span>
      </label>
    </>
  );
}

function third(index: number, count: number, names: readonly [string, string, string]): string {
  return names[Math.min(2, Math.floor((3 * (index + 0.5)) / count)) as 0 | 1 | 2];
}

function coloured(value: number): [number, number, number] {
  const at = Math.min(1, Math.max(0, value)) * (COLOURS.length - 1);
  const [from, to] = [COLOURS[Math.floor(at)]!, COLOURS[Math.ceil(at)]!];
  return [0, 1, 2].map((channel) => from[channel]! + (at % 1) * (to[channel]! - from[channel]!)) as [number, number, number];
}

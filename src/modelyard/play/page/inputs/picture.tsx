// A picture from a file, the clipboard, the camera, or drawn.

import { useEffect, useRef, useState } from "preact/hooks";
import type * as d from "../description.ts";
import { dataAddress, fitted, pngOf } from "../pictures.ts";
import type { InputProps } from "../widgets.ts";

/** Milliseconds between two pictures of the camera. */
const CAMERA_MS = 500;
/** Thickness of a drawn line as a share of the picture's shorter side. */
const PEN = 0.07;
/** Smaller pictures are shown with their pixels. */
const SMALL = 80;

export default function PictureInput({ input, id, errorId, request, set }: InputProps<d.Picture>) {
  const value = request[input.field];
  const [trouble, setTrouble] = useState("");
  const [isOver, setIsOver] = useState(false);
  const [mode, setMode] = useState<"picture" | "camera" | "drawing">("picture");
  const [size, setSize] = useState<[number, number] | null>(null);
  const file = useRef<HTMLInputElement>(null);
  const frame = { width: input.width, height: input.height, isGrey: input.is_grey, isExact: input.is_exact };
  const send = async (source: CanvasImageSource, width: number, height: number) => {
    set({ [input.field]: await pngOf(fitted(source, width, height, frame), input.is_grey) });
  };
  const take = async (blob: Blob | null | undefined) => {
    if (!blob) return;
    try {
      // "from-image": turned as the camera was held (EXIF).
      const bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
      await send(bitmap, bitmap.width, bitmap.height);
      setTrouble("");
      setMode("picture");
    } catch {
      setTrouble("This is no picture that the browser can read; PNG, JPEG and WebP are.");
    }
  };
  useEffect(() => {
    const paste = (event: ClipboardEvent) => {
      const item = [...(event.clipboardData?.items ?? [])].find((one) => one.type.startsWith("image/"));
      if (item) void take(item.getAsFile());
    };
    document.addEventListener("paste", paste);
    return () => document.removeEventListener("paste", paste);
  });
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setIsOver(false);
    void take([...(event.dataTransfer?.files ?? [])].find((one) => one.type.startsWith("image/")) ?? event.dataTransfer?.files[0]);
  };
  return (
    <div
      class={`picture-box ${isOver ? "over" : ""}`} onDragOver={(event) => { event.preventDefault(); setIsOver(true); }}
      onDragLeave={() => setIsOver(false)} onDrop={drop}
    >
      <div class="stage">
        {mode === "camera"
          ? <Camera onFrame={(video) => void send(video, video.videoWidth, video.videoHeight)} onTrouble={(text) => { setTrouble(text); setMode("picture"); }} />
          : mode === "drawing"
          ? <Drawing input={input} onDrawn={(canvas) => void send(canvas, canvas.width, canvas.height)} />
          : typeof value === "string" && value !== ""
          ? <img
              class={size && Math.max(...size) < SMALL ? "pixels" : ""} src={dataAddress(value)} alt={`${input.label}, as it is sent`}
              onLoad={({ currentTarget: image }) => setSize([image.naturalWidth, image.naturalHeight])}
            />
          : <p class="quiet">Drop a picture here.</p>}
      </div>
      <div class="tools">
        <input ref={file} id={id} class="hidden-file" type="file" accept="image/*" aria-describedby={errorId} onChange={(event) => void take(event.currentTarget.files?.[0])} />
        <button class="button" type="button" onClick={() => file.current?.click()}>Choose a file</button>
        {input.has_camera && (
          <button class="button" type="button" aria-pressed={mode === "camera"} onClick={() => setMode(mode === "camera" ? "picture" : "camera")}>
            {mode === "camera" ? "Keep this one" : "Camera"}
          </button>
        )}
        {input.is_drawn && (
          <button class="button" type="button" aria-pressed={mode === "drawing"} onClick={() => setMode(mode === "drawing" ? "picture" : "drawing")}>
            {mode === "drawing" ? "Done" : "Draw"}
          </button>
        )}
        <span class="quiet">or drop or paste one{size && mode === "picture" ? ` · ${size[0]} × ${size[1]} pixels` : ""}</span>
      </div>
      {trouble && <p class="error" role="alert">{trouble}</p>}
    </div>
  );
}

function Camera({ onFrame, onTrouble }: { onFrame: (video: HTMLVideoElement) => void; onTrouble: (text: string) => void }) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    let media: MediaStream | null = null;
    let isGone = false;
    const begin = async () => {
      media = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      if (isGone || !video.current) return end();
      video.current.srcObject = media;
      await video.current.play();
    };
    const end = () => media?.getTracks().forEach((track) => track.stop());
    begin().catch(() => onTrouble("The browser gives no camera: it needs one, your permission, and an address with https or localhost."));
    const timer = setInterval(() => video.current && video.current.videoWidth > 0 && onFrame(video.current), CAMERA_MS);
    return () => {
      isGone = true;
      clearInterval(timer);
      end();
    };
  }, []);
  return <video ref={video} muted playsInline aria-label="The camera" />;
}

function Drawing({ input, onDrawn }: { input: d.Picture; onDrawn: (canvas: HTMLCanvasElement) => void }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const last = useRef<[number, number] | null>(null);
  const scale = Math.max(1, Math.round(280 / Math.max(input.width, input.height)));
  const [width, height] = [input.width * scale, input.height * scale];
  const clear = () => {
    const context = canvas.current!.getContext("2d")!;
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
  };
  useEffect(clear, []);
  const draw = (event: PointerEvent) => {
    if (event.buttons === 0) return;
    const box = canvas.current!.getBoundingClientRect();
    const at: [number, number] = [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
    const context = canvas.current!.getContext("2d")!;
    context.lineWidth = PEN * Math.min(width, height);
    context.lineCap = "round";
    context.strokeStyle = "#000";
    context.beginPath();
    context.moveTo(...(last.current ?? at));
    context.lineTo(...at);
    context.stroke();
    last.current = at;
    onDrawn(canvas.current!);
  };
  return (
    <>
      <canvas
        ref={canvas} class="drawing" width={width} height={height} role="img" aria-label="Draw here with the pointer"
        onPointerDown={(event) => { event.currentTarget.setPointerCapture(event.pointerId); last.current = null; draw(event); }} onPointerMove={draw}
      />
      <button class="link" type="button" onClick={() => { clear(); onDrawn(canvas.current!); }}>Clear</button>
    </>
  );
}

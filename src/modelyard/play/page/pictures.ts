// Pictures as requests have them: PNG or JPEG in base64.

/** The address of a picture in base64. */
export function dataAddress(base64: string): string {
  const type = base64.startsWith("/9j/") ? "jpeg" : base64.startsWith("UklGR") ? "webp" : "png";
  return `data:image/${type};base64,${base64}`;
}

export interface Frame {
  width: number;
  height: number;
  isGrey: boolean;
  isExact: boolean;
}

/** Draws a picture in the size and shape that is sent. */
export function fitted(source: CanvasImageSource, width: number, height: number, frame: Frame): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  const cover = Math.max(frame.width / width, frame.height / height);
  const inside = Math.min(1, frame.width / width, frame.height / height);
  const scale = frame.isExact ? cover : inside;
  canvas.width = frame.isExact ? frame.width : Math.max(1, Math.round(width * scale));
  canvas.height = frame.isExact ? frame.height : Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  // In halves first: one large step would skip pixels.
  let [from, w, h] = [source, width, height];
  while (w * scale < w / 2 && w > 2 && h > 2) {
    const half = document.createElement("canvas");
    [half.width, half.height] = [Math.ceil(w / 2), Math.ceil(h / 2)];
    half.getContext("2d")!.drawImage(from, 0, 0, half.width, half.height);
    [from, w, h] = [half, half.width, half.height];
    if (w <= width * scale || h <= height * scale) break;
  }
  const [shownWidth, shownHeight] = [width * scale, height * scale];
  context.drawImage(from, (canvas.width - shownWidth) / 2, (canvas.height - shownHeight) / 2, shownWidth, shownHeight);
  return canvas;
}

/** A PNG of a canvas in base64: with 8 bits of grey, or of red, green and blue; a canvas alone would add opacity. */
export async function pngOf(canvas: HTMLCanvasElement, isGrey: boolean): Promise<string> {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d")!.getImageData(0, 0, width, height);
  const channels = isGrey ? 1 : 3;
  const rows = new Uint8Array(height * (1 + width * channels));
  for (let pixel = 0, at = 0; pixel < width * height; pixel++) {
    if (pixel % width === 0) at++; // each row begins with its filter: none
    const [red, green, blue] = [data[4 * pixel]!, data[4 * pixel + 1]!, data[4 * pixel + 2]!];
    // ITU-R 601-2, as Pillow
    if (isGrey) rows[at++] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
    else {
      rows[at++] = red;
      rows[at++] = green;
      rows[at++] = blue;
    }
  }
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8);
  header.setUint8(9, isGrey ? 0 : 2);
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const body = new Uint8Array(await new Response(packed).arrayBuffer());
  const signature = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
  const file = new Blob([signature, chunk("IHDR", new Uint8Array(header.buffer)), chunk("IDAT", body), chunk("IEND", new Uint8Array())]);
  return base64Of(new Uint8Array(await file.arrayBuffer()));
}

function chunk(name: string, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(12 + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(content, 8);
  view.setUint32(8 + content.length, crc(bytes.subarray(4, 8 + content.length)));
  return bytes;
}

function crc(bytes: Uint8Array): number {
  let register = -1;
  for (const byte of bytes) {
    register ^= byte;
    for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ (register & 1 ? 0xedb88320 : 0);
  }
  return ~register >>> 0;
}

/** Bytes in base64. */
export function base64Of(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

/** The bytes of base64. */
export function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

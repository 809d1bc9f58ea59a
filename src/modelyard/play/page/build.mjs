// Bundles the page: `node build.mjs FOLDER`. Names hold a digest of what is in them, so browsers may keep them for ever.
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { build } from "esbuild";

const into = process.argv[2];
await rm(into, { recursive: true, force: true });
await mkdir(into, { recursive: true });
const { metafile } = await build({
  entryPoints: { app: "app.tsx", style: "style.css" },
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  outdir: into,
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  metafile: true,
  logLevel: "warning",
});
const built = Object.entries(metafile.outputs);
const nameOf = (source) => basename(built.find(([, output]) => output.entryPoint === source)[0]);
const page = (await readFile("index.html", "utf8"))
  .replace("app.tsx", `play/${nameOf("app.tsx")}`)
  .replace("style.css", `play/${nameOf("style.css")}`)
  .replaceAll("icon.svg", "play/icon.svg");
await writeFile(join(into, "index.html"), page);
await copyFile("icon.svg", join(into, "icon.svg"));
await copyFile("node_modules/preact/LICENSE", join(into, "preact-LICENSE.txt"));

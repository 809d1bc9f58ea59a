// The frame of the page: header, address, colours, API key. What is in it is loaded when it is opened.

import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { apiKey } from "./api.ts";
import { useLoaded } from "./loading.ts";

interface Place {
  project: string;
  example: number;
}

function placeOf(hash: string): Place {
  const [, project = "", example = ""] = hash.replace(/^#/, "").split("/");
  return { project: decodeURIComponent(project), example: Math.max(0, (Number.parseInt(example, 10) || 1) - 1) };
}

const COLOURS = "modelyard-colours";
const isDark = matchMedia("(prefers-color-scheme: dark)");

function chosenColours(): string {
  return localStorage.getItem(COLOURS) ?? (isDark.matches ? "dark" : "light");
}

document.documentElement.dataset.colours = chosenColours();

function ColourSwitch() {
  const [colours, setColours] = useState(chosenColours);
  useEffect(() => {
    const follow = () => setColours(chosenColours());
    isDark.addEventListener("change", follow);
    return () => isDark.removeEventListener("change", follow);
  }, []);
  useEffect(() => {
    document.documentElement.dataset.colours = colours;
    dispatchEvent(new Event("colours"));
  }, [colours]);
  const other = colours === "dark" ? "light" : "dark";
  const change = () => {
    localStorage.setItem(COLOURS, other);
    setColours(other);
  };
  return (
    <button class="icon-button" type="button" aria-label={`Change to ${other} colours`} title={`Change to ${other} colours`} onClick={change}>
      <svg viewBox="0 0 24 24" aria-hidden="true">
        {colours === "dark"
          ? <path d="M12 4V2m0 20v-2m8-8h2M2 12h2m13.7-5.7 1.4-1.4M4.9 19.1l1.4-1.4m11.4 0 1.4 1.4M4.9 4.9l1.4 1.4M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8Z" />
          : <path d="M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5Z" />}
      </svg>
    </button>
  );
}

function KeyDialog({ onGiven }: { onGiven: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [key, setKey] = useState("");
  const isWrong = apiKey.get() !== "";
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} class="key" aria-labelledby="key-title" onCancel={(event) => event.preventDefault()}>
      <form method="dialog" onSubmit={(event) => { event.preventDefault(); apiKey.set(key.trim()); onGiven(); }}>
        <h2 id="key-title">This server asks for an API key</h2>
        <p>{isWrong ? "The key was not accepted. " : ""}It is kept in this tab only, until it is closed.</p>
        <label class="label" for="key">API key</label>
        <input id="key" class="line" type="password" autocomplete="off" required value={key} onInput={(event) => setKey(event.currentTarget.value)} />
        <button class="button primary" type="submit">Continue</button>
      </form>
    </dialog>
  );
}

function App() {
  const [place, setPlace] = useState(() => placeOf(location.hash));
  const [isKeyNeeded, setIsKeyNeeded] = useState(false);
  const [attempt, setAttempt] = useState(0);
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    const follow = () => setPlace(placeOf(location.hash));
    const askForKey = () => setIsKeyNeeded(true);
    addEventListener("hashchange", follow);
    addEventListener("key-needed", askForKey);
    return () => {
      removeEventListener("hashchange", follow);
      removeEventListener("key-needed", askForKey);
    };
  }, []);
  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current) {
      scrollTo(0, 0);
      main.current?.focus({ preventScroll: true });
    }
    isFirst.current = false;
  }, [place.project]);
  const Gallery = useLoaded("gallery", () => import("./gallery.tsx"), place.project === "");
  const Project = useLoaded("project", () => import("./project.tsx"), place.project !== "");
  return (
    <>
      <a class="skip" href={location.hash || "#/"} onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>Skip to content</a>
      <header class="bar">
        <a class="brand" href="#/"><img src="play/icon.svg" alt="" width="28" height="28" />Modelyard</a>
        <nav aria-label="Elsewhere"><a href="docs">API</a></nav>
        <ColourSwitch />
      </header>
      <main ref={main} tabindex={-1}>
        {place.project === ""
          ? Gallery && <Gallery key={attempt} />
          : Project && <Project key={`${place.project} ${attempt}`} project={place.project} example={place.example} />}
      </main>
      {isKeyNeeded && <KeyDialog onGiven={() => { setIsKeyNeeded(false); setAttempt(attempt + 1); }} />}
    </>
  );
}

const root = document.getElementById("app")!;
root.replaceChildren();
render(<App />, root);

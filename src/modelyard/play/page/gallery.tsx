// All projects at a glance.

import { useEffect, useState } from "preact/hooks";
import { overviews, pictureAddress } from "./api.ts";
import type { GalleryEntry } from "./description.ts";
import { ago } from "./format.ts";
import { useFetched } from "./loading.ts";
import { MetricBar } from "./metric_bar.tsx";
import { Trouble } from "./notices.tsx";

const MANY = 7;

export default function Gallery() {
  const { value: projects, error } = useFetched(overviews, "overviews");
  const [sought, setSought] = useState("");
  useEffect(() => {
    document.title = "Modelyard";
  }, []);
  const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = projects?.filter((one) => words.every((word) => `${one.project} ${one.title} ${one.question}`.toLowerCase().includes(word)));
  return (
    <div class="gallery">
      <div class="lead">
        <h1>Ask a model something</h1>
        <p>Every model of this server, to be tried out. Each page opens with an example that is answered already.</p>
        {(projects?.length ?? 0) >= MANY && (
          <input class="line search" type="search" aria-label="Find a project" placeholder="Find a project" value={sought} onInput={(event) => setSought(event.currentTarget.value)} />
        )}
      </div>
      {error && <Trouble error={error} />}
      <ul class="cards" aria-busy={!projects && !error}>
        {shown?.map((one) => <Card key={one.project} one={one} />)}
        {!projects && !error && [0, 1, 2, 3, 4, 5].map(() => <li class="card waiting" aria-hidden="true" />)}
      </ul>
      {shown?.length === 0 && <p class="quiet">No project has these words.</p>}
    </div>
  );
}

function Card({ one }: { one: GalleryEntry }) {
  const canPlay = one.has_page && one.version !== null;
  return (
    <li class={`card ${canPlay ? "playable" : ""}`}>
      <Picture path={one.picture} />
      <div class="card-text">
        <h2>{canPlay ? <a href={`#/${one.project}`}>{one.title}</a> : one.title}</h2>
        {one.question && <p class="question">{one.question}</p>}
        <Standing one={one} />
        {one.metric && <MetricBar metric={one.metric} published={one.published} />}
        <footer class="facts">
          {one.version !== null && <Drift state={one.drift} />}
          {one.trained_at && <span title={one.trained_at}>trained {ago(one.trained_at)}</span>}
          {one.data && <span>{one.data.replace("public: ", "")} data</span>}
        </footer>
      </div>
    </li>
  );
}

function Standing({ one }: { one: GalleryEntry }) {
  if (one.version === null) {
    return (
      <p class="standing">
        <span class="chip">not trained yet</span>
        <code>{one.command}</code>
      </p>
    );
  }
  return (
    <p class="standing">
      <span class={`chip ${one.alias === "champion" ? "good" : "unsure"}`}>version {one.version}</span>
      <span class="quiet">{one.alias === "champion" ? "champion" : "not yet champion"}{one.gate === "failed" ? ", its gate failed" : ""}{one.has_page ? "" : ", has no page"}</span>
    </p>
  );
}

const DRIFT = { none: "no drift", warning: "drift suspected", drifted: "drifted", unknown: "drift not watched yet" };

function Drift({ state }: { state: GalleryEntry["drift"] }) {
  return <span class={`drift ${state}`}>{DRIFT[state]}</span>;
}

function Picture({ path }: { path: string | null }) {
  const [source, setSource] = useState("");
  useEffect(() => {
    if (path) pictureAddress(path).then(setSource, () => setSource(""));
  }, [path]);
  return (
    <div class="card-picture">
      {source ? <img src={source} alt="" loading="lazy" decoding="async" onError={() => setSource("")} /> : <Placeholder />}
    </div>
  );
}

function Placeholder() {
  return (
    <svg class="placeholder" viewBox="0 0 120 60" aria-hidden="true">
      <path d="M0 46 C20 40 26 18 44 24 S70 52 86 34 108 12 120 16" />
      <path d="M0 52 C24 50 34 34 50 38 S80 50 120 30" />
    </svg>
  );
}


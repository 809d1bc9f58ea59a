// A project's page: examples, inputs, and the answer, which follows every change.

import type { ComponentType } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { overviews, playPage, predict, stream, type Answer, type Problem, type Refused, type Values } from "./api.ts";
import type * as d from "./description.ts";
import { duration, short } from "./format.ts";
import { asRefused, useFetched, useLoaded } from "./loading.ts";
import { Trouble } from "./notices.tsx";
import { dataAddress } from "./pictures.ts";
import { inputs, outputs, type InputProps, type OutputProps } from "./widgets.ts";

/** Milliseconds between two requests while something is dragged. */
const PACE_MS = 120;
/** Milliseconds of rest before something is composed. */
const REST_MS = 450;

export default function Project({ project, example }: { project: string; example: number }) {
  const page = useFetched(() => playPage(project), project);
  const all = useFetched(overviews, "overviews");
  const overview = all.value?.find((one) => one.project === project);
  useEffect(() => {
    document.title = `${overview?.title ?? project} · Modelyard`;
  }, [overview?.title, project]);
  return (
    <div class="project">
      <a class="back" href="#/">← All projects</a>
      <div class="lead">
        <h1>{page.value?.question || overview?.question || project}</h1>
        <p>{overview?.title ?? " "}</p>
      </div>
      {page.error && page.error.status !== 401 && <Trouble error={page.error} />}
      {page.value && <Playing play={page.value} example={example} project={project} overview={overview} />}
    </div>
  );
}

function nameOfData(data: string): string {
  return data.startsWith("public: ") ? `the public data set ${data.slice(8)}` : `${data} data`;
}

interface Shown extends Answer {
  request: Values;
  isComposing: boolean;
}

function Playing({ play, example, project, overview }: { play: d.PlayPage; example: number; project: string; overview: d.GalleryEntry | undefined }) {
  const chosen = Math.min(example, play.examples.length - 1);
  const beginning = play.examples[chosen]?.request ?? {};
  const [state, setState] = useState({ request: beginning, whole: beginning, example: chosen });
  // The address has moved to another example: the request begins anew.
  const { request, whole } = state.example === chosen ? state : { request: beginning, whole: beginning };
  const set = (changed: Values, changedWhole: Values = changed) =>
    setState((old) => {
      const from = old.example === chosen ? old : { request: beginning, whole: beginning };
      return { request: { ...from.request, ...changed }, whole: { ...from.whole, ...changedWhole }, example: chosen };
    });
  const { shown, error, isBusy, retry } = useAnswer(play, request);
  const { besides, rest } = useMemo(() => sorted(error, play.inputs), [error, play]);
  return (
    <>
      <Examples play={play} chosen={chosen} project={project} isChanged={request !== beginning} onReset={() => setState({ request: beginning, whole: beginning, example: chosen })} />
      {rest && rest.status !== 401 && <Trouble error={rest} onRetry={rest.status === 422 ? undefined : retry} />}
      <div class="table">
        <section class="panel asked" aria-label="What is asked">
          <Inputs play={play} request={request} whole={whole} set={set} problems={besides} />
        </section>
        <section class={`panel answer ${isBusy ? "busy" : ""} ${error ? "stale" : ""}`} aria-label="The answer" aria-busy={isBusy}>
          {shown ? <AnswerShown key={chosen} play={play} shown={shown} whole={whole} set={set} /> : error && !isBusy ? <p class="quiet">There is no answer yet.</p> : <div class="waiting tall" />}
          {shown && <Source shown={shown} />}
        </section>
      </div>
      {play.caution && <p class="caution">{play.caution}</p>}
      <RequestShown play={play} request={request} />
      <p class="quiet about">
        {overview?.data && `This version learnt from ${nameOfData(overview.data)}. `}
        {overview?.metric && `Its ${overview.metric.name.replaceAll("_", " ")} on test rows is ${short(overview.metric.value)}. `}
        {play.meaning}
      </p>
    </>
  );
}

/** The answer to the latest request that was answered; requests go out at a steady pace, and none overtakes another. */
function useAnswer(play: d.PlayPage, request: Values) {
  const [shown, setShown] = useState<Shown | null>(null);
  const [error, setError] = useState<Refused | null>(null);
  const [isBusy, setIsBusy] = useState(true);
  const [attempt, retry] = useState(0);
  const sent = useRef({ count: 0, shown: 0, at: -Infinity });
  const composing = useRef<AbortController | null>(null);
  const music = play.outputs.find((output): output is d.Music => output.kind === "music" && output.is_streamed);
  const isStreamed = music !== undefined && play.stream_route !== null;
  useEffect(() => {
    const since = performance.now() - sent.current.at;
    const wait = sent.current.count === 0 ? 0 : isStreamed ? REST_MS : Math.max(0, PACE_MS - since);
    setIsBusy(true);
    const timer = setTimeout(() => {
      composing.current?.abort();
      const controller = new AbortController();
      if (isStreamed) composing.current = controller;
      const number = ++sent.current.count;
      sent.current.at = performance.now();
      const isLate = () => number < sent.current.shown;
      const show = (answer: Answer, isComposing: boolean) => {
        if (isLate()) return;
        sent.current.shown = number;
        setShown({ ...answer, request, isComposing });
        setError(null);
      };
      const onFrames = (frames: string[]) => {
        const empty = { version: "", alias: "", ms: performance.now() - sent.current.at } as const;
        show({ ...empty, responses: [{ [music!.field]: frames }] }, true);
      };
      answered(play, request, controller.signal, isStreamed ? onFrames : null)
        .then((answer) => show(answer, false))
        .catch((problem: unknown) => {
          if ((problem as Error).name === "AbortError" || isLate()) return;
          sent.current.shown = number;
          setError(asRefused(problem));
          setShown((old) => old && { ...old, isComposing: false });
        })
        .finally(() => number === sent.current.count && setIsBusy(false));
    }, wait);
    return () => clearTimeout(timer);
  }, [play, request, attempt]);
  useEffect(() => () => composing.current?.abort(), []);
  return { shown, error, isBusy, retry: () => retry(attempt + 1) };
}

async function answered(play: d.PlayPage, request: Values, signal: AbortSignal, onFrames: ((frames: string[]) => void) | null): Promise<Answer> {
  if (onFrames) {
    const frames: string[] = [];
    await stream(play.stream_route!, request, signal, (piece) => {
      frames.push(String(piece));
      onFrames([...frames]);
    });
    // The same seed gives the same piece: the whole answer has what a stream of frames has not.
  }
  const fan = play.outputs.find((output): output is d.FanChart => output.kind === "fan_chart");
  const rows = fan ? [request, ...fan.leads.map((lead) => ({ ...request, [fan.lead_field]: lead }))] : [request];
  return predict(play, rows, signal);
}

/** What is said of fields that have an input, by the input's field, and the rest. */
function sorted(error: Refused | null, all: ReadonlyArray<d.Input>): { besides: Map<string, string>; rest: Refused | null } {
  const besides = new Map<string, string>();
  const rest: Problem[] = [];
  for (const problem of error?.problems ?? []) {
    const input = all.find((one) => fieldsOf(one).some((field) => problem.place.includes(field)))
      ?? all.find((one) => fieldsOf(one).some((field) => problem.message.split(/\W+/).includes(field)));
    if (input) besides.set(input.field, [besides.get(input.field), problem.message].filter(Boolean).join("; "));
    else rest.push(problem);
  }
  if (!error || (error.problems.length > 0 && rest.length === 0)) return { besides, rest: null };
  return { besides, rest: Object.assign(Object.create(error), { problems: rest }) as Refused };
}

function fieldsOf(input: d.Input): string[] {
  switch (input.kind) {
    case "series":
      return [input.field, input.end_field, ...input.follows].filter(Boolean);
    case "bars":
      return [input.field, input.days_field, input.opens_field, input.highs_field, input.lows_field, input.volumes_field, ...input.follows].filter(Boolean);
    case "number":
      return [input.field, ...input.sets, ...Object.keys(input.sets_ratios)];
    default:
      return [input.field];
  }
}

function Examples({ play, chosen, project, isChanged, onReset }: { play: d.PlayPage; chosen: number; project: string; isChanged: boolean; onReset: () => void }) {
  const picture = play.inputs.find((input) => input.kind === "picture");
  const sentence = play.examples[chosen]?.sentence;
  return (
    <section class="examples" aria-label="Examples">
      <ul class={picture ? "with-pictures" : ""}>
        {play.examples.map((one, index) => (
          <li key={index}>
            <a
              class="example" href={`#/${project}/${index + 1}`} aria-current={index === chosen ? "true" : undefined} title={one.sentence}
              onClick={() => index === chosen && onReset()}
            >
              {picture && typeof one.request[picture.field] === "string" && <img src={dataAddress(one.request[picture.field] as string)} alt="" />}
              {one.title}
            </a>
          </li>
        ))}
      </ul>
      <p class="sentence">
        {sentence} {isChanged && <button class="link" type="button" onClick={onReset}>Back to the example as it was</button>}
      </p>
    </section>
  );
}

function Inputs({ play, request, whole, set, problems }: { play: d.PlayPage; problems: Map<string, string> } & Pick<InputProps<unknown>, "request" | "whole" | "set">) {
  const isAdvanced = (input: d.Input) => "is_advanced" in input && input.is_advanced;
  const field = (input: d.Input) => <Field key={input.field} input={input} request={request} whole={whole} set={set} problem={problems.get(input.field)} />;
  const advanced = play.inputs.filter(isAdvanced);
  const isWrong = advanced.some((input) => problems.has(input.field));
  return (
    <>
      {play.inputs.filter((input) => !isAdvanced(input)).map(field)}
      {advanced.length > 0 && (
        <details class="advanced" open={isWrong || undefined}>
          <summary>More to change <span class="count">{advanced.length}</span></summary>
          {advanced.map(field)}
        </details>
      )}
    </>
  );
}

function Field({ input, request, whole, set, problem }: { input: d.Input; problem: string | undefined } & Pick<InputProps<unknown>, "request" | "whole" | "set">) {
  const Widget = useLoaded(`input ${input.kind}`, inputs[input.kind]) as ComponentType<InputProps<d.Input>> | null;
  const id = `input-${input.field}`;
  const errorId = problem ? `${id}-error` : undefined;
  return (
    <div class={`field ${input.kind} ${problem ? "wrong" : ""}`}>
      <div class="field-head">
        <label class="label" for={id} id={`${id}-label`}>{input.label}</label>
        {input.help && <Help id={id} text={input.help} />}
      </div>
      {Widget ? <Widget input={input} id={id} errorId={errorId} request={request} whole={whole} set={set} /> : <div class="waiting" />}
      {problem && <p class="error" id={errorId} role="alert">{problem}</p>}
    </div>
  );
}

function Help({ id, text }: { id: string; text: string }) {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <>
      <button class="help" type="button" aria-expanded={isOpen} aria-controls={`${id}-help`} aria-label="What is this?" onClick={() => setIsOpen(!isOpen)}>?</button>
      <span class="help-text" id={`${id}-help`} hidden={!isOpen}>{text}</span>
    </>
  );
}

function AnswerShown({ play, shown, whole, set }: { play: d.PlayPage; shown: Shown; whole: Values; set: (changed: Values) => void }) {
  const [response = {}, ...leads] = shown.responses;
  return (
    <div class="outputs" aria-live="polite" aria-atomic="false">
      {play.outputs
        .filter((output) => !shown.isComposing || output.field in response)
        .map((output, index) => (
          <OutputShown
            key={output.field + output.kind} isFirst={index === 0} output={output} play={play} request={shown.request} whole={whole}
            response={response} leads={leads} isComposing={shown.isComposing} set={set}
          />
        ))}
    </div>
  );
}

function OutputShown({ isFirst, ...props }: { isFirst: boolean } & OutputProps<d.Output>) {
  const { output, play, response, leads } = props;
  const Widget = useLoaded(`output ${output.kind}`, outputs[output.kind]) as ComponentType<OutputProps<d.Output>> | null;
  // A fan has something to show wherever one lead was answered.
  const isSilent = [response, ...(output.kind === "fan_chart" ? leads : [])].every((one) => (one[output.field] ?? null) === null);
  return (
    <div class={`output ${output.kind} ${isFirst ? "first" : ""}`}>
      <div class="field-head">
        <h2 class="label">{output.label}</h2>
        {output.help && <Help id={`output-${output.field}-${output.kind}`} text={output.help} />}
      </div>
      {isSilent ? <p class="quiet">{(isFirst && play.without_answer) || "The model says nothing of it here."}</p> : Widget ? <Widget {...props} /> : <div class="waiting" />}
    </div>
  );
}

const NOT_CHAMPION = { challenger: "the latest challenger answers; no champion yet", latest: "the latest version answers; no champion yet" };

function Source({ shown }: { shown: Shown }) {
  if (shown.isComposing) return <p class="source"><span class="chip">composing …</span></p>;
  return (
    <p class="source">
      {shown.version && <span class={`chip ${shown.alias === "champion" ? "good" : "unsure"}`}>version {shown.version}{shown.alias === "champion" ? " · champion" : ""}</span>}
      {shown.alias && shown.alias !== "champion" && <span class="quiet">{NOT_CHAMPION[shown.alias]}</span>}
      <span class="quiet latency">{duration(shown.ms)}</span>
    </p>
  );
}

function RequestShown({ play, request }: { play: d.PlayPage; request: Values }) {
  const [isOpen, setIsOpen] = useState(false);
  const Loaded = useLoaded("request", () => import("./request_shown.tsx"), isOpen);
  return (
    <details class="panel request" onToggle={(event) => setIsOpen(event.currentTarget.open)}>
      <summary>Show the request</summary>
      {isOpen && Loaded && <Loaded route={play.route} request={request} />}
    </details>
  );
}

// The routes of the model server, as the page uses them.

import type { Gallery, GalleryEntry, PlayPage } from "./description.ts";

export type Values = Readonly<Record<string, unknown>>;
export type Alias = NonNullable<GalleryEntry["alias"]>;

export interface Answer {
  responses: ReadonlyArray<Values>;
  version: string;
  alias: Alias | "";
  ms: number;
}

export interface Problem {
  /** Names of fields and numbers of entries, outermost first; empty where it is said of the whole request. */
  place: ReadonlyArray<string>;
  message: string;
}

/** The server has answered, but not what was asked for; or there was no answer (status 0). */
export class Refused extends Error {
  constructor(readonly status: number, readonly problems: ReadonlyArray<Problem>, readonly wayOut: string) {
    super(problems.map((problem) => problem.message).join("; "));
  }
}

const KEY = "modelyard-api-key";

export const apiKey = {
  get: (): string => sessionStorage.getItem(KEY) ?? "",
  /** Kept until the tab is closed. */
  set: (key: string): void => sessionStorage.setItem(KEY, key),
};

/** An address of the server, whatever path the page itself stands under. */
export function address(path: string): string {
  return new URL(path.replace(/^\//, ""), document.baseURI).href;
}

async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (apiKey.get()) headers.set("X-API-Key", apiKey.get());
  let response: Response;
  try {
    response = await fetch(address(path), { ...init, headers });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Refused(0, [{ place: [], message: "The server does not answer." }], "is `kedro serve` running?");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response: Response): Promise<Refused> {
  const body = (await response.json().catch(() => ({}))) as Values;
  const wayOut = typeof body.way_out === "string" ? body.way_out : WAYS_OUT[response.status] ?? "";
  if (Array.isArray(body.detail)) {
    const problems = (body.detail as ReadonlyArray<{ loc?: unknown[]; msg?: unknown }>).map((one) => ({
      place: (one.loc ?? []).map(String).filter((part) => part !== "body"),
      message: String(one.msg ?? "It is wrong."),
    }));
    return new Refused(response.status, problems, wayOut);
  }
  const where = typeof body.where === "string" ? ` (${body.where})` : "";
  const detail = typeof body.detail === "string" ? body.detail + where : `The server answered ${response.status}.`;
  return new Refused(response.status, [{ place: [], message: detail }], wayOut);
}

const WAYS_OUT: Readonly<Record<number, string>> = {
  401: "give a valid API key",
  413: "send less",
  503: "try again in a moment",
  504: "ask for less, or raise --timeout-s",
};

/** What the gallery shows. */
export async function overviews(): Promise<Gallery["projects"]> {
  return ((await (await ask("v1/play")).json()) as Gallery).projects;
}

/** A project's description. */
export async function playPage(project: string): Promise<PlayPage> {
  return (await ask(`v1/${encodeURIComponent(project)}/play`)).json() as Promise<PlayPage>;
}

/** An address that an <img> can show: with an API key the browser itself may not fetch it. */
export async function pictureAddress(path: string): Promise<string> {
  return apiKey.get() ? URL.createObjectURL(await (await ask(path)).blob()) : address(path);
}

function jsonBody(body: unknown, signal: AbortSignal): RequestInit {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
}

/** The answers to rows of requests; several rows go together, in as few calls as the route allows. */
export async function predict(play: PlayPage, rows: ReadonlyArray<Values>, signal: AbortSignal): Promise<Answer> {
  const began = performance.now();
  const most = Math.max(1, play.max_rows);
  const responses: Values[] = [];
  let headers = new Headers();
  for (let at = 0; at < rows.length; at += most) {
    const part = rows.slice(at, at + most);
    const answered = await ask(play.route, jsonBody(rows.length === 1 ? rows[0] : part, signal));
    headers = answered.headers;
    const body = (await answered.json()) as Values;
    responses.push(...(rows.length === 1 ? [body] : (body.predictions as Values[])));
  }
  const version = headers.get("x-model-version") ?? "";
  const alias = (headers.get("x-model-alias") ?? "") as Alias | "";
  return { responses, version, alias, ms: performance.now() - began };
}

/** Calls `onPiece` for each piece of a stream of server-sent events; returns when it has ended. */
export async function stream(
  route: string, request: Values, signal: AbortSignal, onPiece: (piece: unknown) => void,
): Promise<void> {
  const response = await ask(route, jsonBody(request, signal));
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    waiting += value;
    const events = waiting.split("\n\n");
    waiting = events.pop() ?? "";
    for (const event of events) {
      const lines = event.split("\n");
      const name = lines.find((line) => line.startsWith("event:"))?.slice(6).trim() ?? "message";
      const data = JSON.parse(lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n"));
      if (name === "end") return;
      if (name === "error") {
        const detail = (data as Values).detail;
        throw new Refused(500, [{ place: [], message: typeof detail === "string" ? detail : "The stream ended." }], "");
      }
      onPiece(data);
    }
  }
}

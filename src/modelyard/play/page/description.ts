// Made from src/modelyard/play/*.py by `make page`; not to be edited.

/** Prices of consecutive days as bars; the closes (``field``) are drawn with the pointer, or cut at a "today". A close that leaves its day's low or high moves that one along; nothing else follows. All lists are cut together. */
export interface Bars {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "bars";
  /** Dates, YYYY-MM-DD, oldest first. */
  days_field: string;
  opens_field: string;
  highs_field: string;
  lows_field: string;
  /** May be an empty list in the request. */
  volumes_field: string;
  /** Further lists, as long as ``days_field`` or empty, cut together with the bars. */
  follows: ReadonlyArray<string>;
  unit: string;
  /** Fewest days that make a request. */
  shortest: number;
  longest: number;
}

/** One of a few values. */
export interface Choice {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "choice";
  /** Value in the request to what people read. */
  options: Readonly<Record<string, string>>;
  is_advanced: boolean;
}

/** A request to begin with. */
export interface Example {
  /** A few words. */
  title: string;
  /** What is to be seen in it. */
  sentence: string;
  /** As a client sends it. */
  request: Readonly<Record<string, unknown>>;
}

/** Quantiles of a forecast behind its history; the page asks for every lead in one request. */
export interface FanChart {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "fan_chart";
  /** Field of the request with the history, which has a :class:`Series`. */
  history_field: string;
  /** Field of the request with the number of steps ahead. */
  lead_field: string;
  /** All that any version may answer; a lead whose ``field`` is null is left out. */
  leads: ReadonlyArray<number>;
  /** Of the quantiles that ``field`` of the response holds. */
  levels: ReadonlyArray<number>;
  unit: string;
  /** Field of the response with what a simple rule says; drawn as a thin line. */
  baseline_field: string;
}

/** All projects. */
export interface Gallery {
  projects: ReadonlyArray<GalleryEntry>;
}

/** One project in the gallery. */
export interface GalleryEntry {
  project: string;
  title: string;
  /** Empty where the project has no page. */
  question: string;
  has_page: boolean;
  /** That would answer now; null where none was registered. */
  version: string | null;
  alias: "champion" | "challenger" | "latest" | null;
  /** Whether that version may become champion. */
  gate: "passed" | "failed" | null;
  metric: MetricValue | null;
  published: ReadonlyArray<PublishedValue>;
  /** Of the latest verdict of monitoring on that version. */
  drift: "none" | "warning" | "drifted" | "unknown";
  trained_at: string | null;
  /** Address of a PNG; null where there is no version. */
  picture: string | null;
  /** ``simulated``, ``own`` or ``public: <data set>``: what that version learnt from. */
  data: string | null;
  /** That trains it. */
  command: string;
}

/** Where the model looked: rows of numbers from 0 to 1, stretched over the part of the picture that the model saw. The examples' requests ask for it. Null where the model has none. */
export interface HeatMap {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "heat_map";
  /** Field of the request with the picture. */
  picture_field: string;
  /** Whether the model saw the central square of the picture only; else it saw all of it. */
  is_centred: boolean;
}

/** A number with its unit, and its interval where the response has one. */
export interface Measure {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "measure";
  unit: string;
  decimals: number;
  low_field: string;
  high_field: string;
}

/** The primary metric on test rows. */
export interface MetricValue {
  name: string;
  value: number;
  /** Lower end of the interval of 95 %; null where it has none. */
  low: number | null;
  high: number | null;
  /** What a trivial rule has on the same rows. */
  floor: number | null;
  greater_is_better: boolean;
  /** What it says, one sentence; empty where the project does not say. */
  meaning: string;
}

/** A date and a time, sent in ISO 8601 with the offset from UTC. */
export interface Moment {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "moment";
  is_advanced: boolean;
}

/** A piece as a piano roll with a player; its MIDI and WAV can be saved. ``field`` holds frames of notes. */
export interface Music {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "music";
  /** Field of the request with the frames that it continues. */
  beginning_field: string;
  midi_field: string;
  lowest: number;
  highest: number;
  seconds_per_frame: number;
  /** Whether the project's stream gives the frames one by one. */
  is_streamed: boolean;
}

/** A slider with a number beside it. */
export interface Number {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "number";
  minimum: number;
  maximum: number;
  /** 1 for integers. */
  step: number;
  unit: string;
  /** Whether equal steps of the slider are equal ratios. */
  is_logarithmic: boolean;
  /** Whether it stands among the folded fields. */
  is_advanced: boolean;
  /** Further fields that get the same number; of a list, its last entry does. */
  sets: ReadonlyArray<string>;
  /** Field that gets the ratio of the number to another field's, to that field; left alone where that one is 0. */
  sets_ratios: Readonly<Record<string, string>>;
}

/** Notes by frame, to be clicked; sent as one string of MIDI numbers a frame, separated by blanks. */
export interface PianoRoll {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "piano_roll";
  /** MIDI number of the lowest key. */
  lowest: number;
  highest: number;
  seconds_per_frame: number;
  longest: number;
}

/** A picture from a file, the clipboard, the camera, an example or, where allowed, drawn; sent as PNG in base64. */
export interface Picture {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "picture";
  /** Pixels that the page sends at most; a larger picture is made smaller, its shape stays. */
  width: number;
  height: number;
  /** Whether colours are removed before it is sent. */
  is_grey: boolean;
  /** Whether the central part is cut to exactly ``width`` x ``height``. */
  is_exact: boolean;
  /** Whether one can draw on it. */
  is_drawn: boolean;
  has_camera: boolean;
}

/** One project's page: its :class:`modelyard.play.description.Play`, and where its requests go. */
export interface PlayPage {
  project: string;
  title: string;
  question: string;
  inputs: ReadonlyArray<Number | Choice | Text | Moment | Picture | Series | Bars | PianoRoll>;
  outputs: ReadonlyArray<Probability | Probabilities | Verdict | Measure | Reasons | HeatMap | FanChart | Music>;
  examples: ReadonlyArray<Example>;
  meaning: string;
  without_answer: string;
  caution: string;
  /** Stem of the figure that the gallery shows. */
  picture: string;
  route: string;
  stream_route: string | null;
  max_rows: number;
  /** JSON schema of one request. */
  request_schema: Readonly<Record<string, unknown>>;
}

/** Bars of several probabilities, the largest first; ``field`` holds a mapping of class to probability. */
export interface Probabilities {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "probabilities";
  /** Class to what people read; classes that are not here stand as they are. */
  names: Readonly<Record<string, string>>;
  /** Bars shown at first. */
  most: number;
}

/** One calibrated probability as a bar, with the bar at which the answer changes where the model has one. */
export interface Probability {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "probability";
}

/** What others have published on the same data, in the same metric. */
export interface PublishedValue {
  name: string;
  value: number;
  source: string;
}

/** Short texts, the strongest first. */
export interface Reasons {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "reasons";
  /** What stands there when the list is empty. */
  if_none: string;
}

/** Equally spaced numbers, the latest last: drawn with the pointer, pasted, or cut at an earlier "today". */
export interface Series {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "series";
  unit: string;
  minimum: number;
  maximum: number;
  /** Fewest numbers that make a request. */
  shortest: number;
  longest: number;
  step: "day" | "week" | "month" | "quarter" | "year" | "position";
  /** Field of the request whose value says the step, by ``steps``; empty: it is ``step``. */
  step_field: string;
  /** Value of ``step_field`` to the step. */
  steps: Readonly<Record<string, "day" | "week" | "month" | "quarter" | "year" | "position">>;
  /** Field of the request with the time of the latest number; moved along when "today" is pulled back. */
  end_field: string;
  /** Fields of the request with further lists of the same length, cut together with this one. */
  follows: ReadonlyArray<string>;
}

/** A line or a few lines of text. */
export interface Text {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "text";
  max_length: number;
  rows: number;
  is_advanced: boolean;
}

/** The answer in words, large, in the colour of its tone. */
export interface Verdict {
  /** Field of the request that an input sets, or of the response that an output shows. */
  field: string;
  /** What people read beside it. */
  label: string;
  /** One sentence, shown on demand. */
  help: string;
  kind: "verdict";
  /** Value (``true`` and ``false`` for a flag) to tone. */
  tones: Readonly<Record<string, "good" | "bad" | "unsure" | "neutral">>;
  /** Value to what people read. */
  names: Readonly<Record<string, string>>;
}

export type Input = Number | Choice | Text | Moment | Picture | Series | Bars | PianoRoll;

export type Output = Probability | Probabilities | Verdict | Measure | Reasons | HeatMap | FanChart | Music;

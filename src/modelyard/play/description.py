"""How a project describes its page: inputs, outputs and examples as plain data.

A project's room ``play.py`` makes one :class:`Play`. The page is the same for all projects: it draws a widget for each
input, sends the request to the project's own route, and draws the answer as each output says. The request begins as the
chosen example's; an input changes the field of the request that it names, and fields without an input stay as they are.

The page's TypeScript types are generated from these models, and from those of :mod:`modelyard.play.responses`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Step = Literal["day", "week", "month", "quarter", "year", "position"]
"""Time between two neighbours of a series; ``position``: they are numbered."""


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class _OfField(_Described):
    field: str
    """Field of the request that an input sets, or of the response that an output shows."""
    label: str
    """What people read beside it."""
    help: str = ""
    """One sentence, shown on demand."""


class Number(_OfField):
    """A slider with a number beside it."""

    kind: Literal["number"] = "number"
    minimum: float
    maximum: float
    step: float
    """1 for integers."""
    unit: str = ""
    is_logarithmic: bool = False
    """Whether equal steps of the slider are equal ratios."""
    is_advanced: bool = False
    """Whether it stands among the folded fields."""
    sets: Sequence[str] = ()
    """Further fields that get the same number; of a list, its last entry does."""
    sets_ratios: Mapping[str, str] = {}
    """Field that gets the ratio of the number to another field's, to that field; left alone where that one is 0."""


class Choice(_OfField):
    """One of a few values."""

    kind: Literal["choice"] = "choice"
    options: Mapping[str, str]
    """Value in the request to what people read."""
    is_advanced: bool = False


class Text(_OfField):
    """A line or a few lines of text."""

    kind: Literal["text"] = "text"
    max_length: int
    rows: int = 1
    is_advanced: bool = False


class Moment(_OfField):
    """A date and a time, sent in ISO 8601 with the offset from UTC."""

    kind: Literal["moment"] = "moment"
    is_advanced: bool = False


class Picture(_OfField):
    """A picture from a file, the clipboard, the camera, an example or, where allowed, drawn; sent as PNG in base64."""

    kind: Literal["picture"] = "picture"
    width: int
    """Pixels that the page sends at most; a larger picture is made smaller, its shape stays."""
    height: int
    is_grey: bool = False
    """Whether colours are removed before it is sent."""
    is_exact: bool = False
    """Whether the central part is cut to exactly ``width`` x ``height``."""
    is_drawn: bool = False
    """Whether one can draw on it."""
    has_camera: bool = True


class Series(_OfField):
    """Equally spaced numbers, the latest last: drawn with the pointer, pasted, or cut at an earlier "today"."""

    kind: Literal["series"] = "series"
    unit: str = ""
    minimum: float
    maximum: float
    shortest: int
    """Fewest numbers that make a request."""
    longest: int
    step: Step = "position"
    step_field: str = ""
    """Field of the request whose value says the step, by ``steps``; empty: it is ``step``."""
    steps: Mapping[str, Step] = {}
    """Value of ``step_field`` to the step."""
    end_field: str = ""
    """Field of the request with the time of the latest number; moved along when "today" is pulled back."""
    follows: Sequence[str] = ()
    """Fields of the request with further lists of the same length, cut together with this one."""


class Bars(_OfField):
    """Prices of consecutive days as bars; the closes (``field``) are drawn with the pointer, or cut at a "today".

    A close that leaves its day's low or high moves that one along; nothing else follows. All lists are cut together.
    """

    kind: Literal["bars"] = "bars"
    days_field: str
    """Dates, YYYY-MM-DD, oldest first."""
    opens_field: str
    highs_field: str
    lows_field: str
    volumes_field: str = ""
    """May be an empty list in the request."""
    follows: Sequence[str] = ()
    """Further lists, as long as ``days_field`` or empty, cut together with the bars."""
    unit: str = ""
    shortest: int
    """Fewest days that make a request."""
    longest: int


class PianoRoll(_OfField):
    """Notes by frame, to be clicked; sent as one string of MIDI numbers a frame, separated by blanks."""

    kind: Literal["piano_roll"] = "piano_roll"
    lowest: int
    """MIDI number of the lowest key."""
    highest: int
    seconds_per_frame: float
    longest: int


Input = Annotated[Number | Choice | Text | Moment | Picture | Series | Bars | PianoRoll, Field(discriminator="kind")]


class Probability(_OfField):
    """One calibrated probability as a bar, with the bar at which the answer changes where the model has one."""

    kind: Literal["probability"] = "probability"


class Probabilities(_OfField):
    """Bars of several probabilities, the largest first; ``field`` holds a mapping of class to probability."""

    kind: Literal["probabilities"] = "probabilities"
    names: Mapping[str, str] = {}
    """Class to what people read; classes that are not here stand as they are."""
    most: int = 10
    """Bars shown at first."""


class Verdict(_OfField):
    """The answer in words, large, in the colour of its tone."""

    kind: Literal["verdict"] = "verdict"
    tones: Mapping[str, Literal["good", "bad", "unsure", "neutral"]]
    """Value (``true`` and ``false`` for a flag) to tone."""
    names: Mapping[str, str] = {}
    """Value to what people read."""


class Measure(_OfField):
    """A number with its unit, and its interval where the response has one."""

    kind: Literal["measure"] = "measure"
    unit: str = ""
    decimals: int = 2
    low_field: str = ""
    high_field: str = ""


class Reasons(_OfField):
    """Short texts, the strongest first."""

    kind: Literal["reasons"] = "reasons"
    if_none: str
    """What stands there when the list is empty."""


class HeatMap(_OfField):
    """Where the model looked: rows of numbers from 0 to 1, stretched over the part of the picture that the model saw.

    The examples' requests ask for it. Null where the model has none.
    """

    kind: Literal["heat_map"] = "heat_map"
    picture_field: str
    """Field of the request with the picture."""
    is_centred: bool = False
    """Whether the model saw the central square of the picture only; else it saw all of it."""


class FanChart(_OfField):
    """Quantiles of a forecast behind its history; the page asks for every lead in one request."""

    kind: Literal["fan_chart"] = "fan_chart"
    history_field: str
    """Field of the request with the history, which has a :class:`Series`."""
    lead_field: str
    """Field of the request with the number of steps ahead."""
    leads: Sequence[int]
    """All that any version may answer; a lead whose ``field`` is null is left out."""
    levels: Sequence[float]
    """Of the quantiles that ``field`` of the response holds."""
    unit: str = ""
    baseline_field: str = ""
    """Field of the response with what a simple rule says; drawn as a thin line."""


class Music(_OfField):
    """A piece as a piano roll with a player; its MIDI and WAV can be saved. ``field`` holds frames of notes."""

    kind: Literal["music"] = "music"
    beginning_field: str
    """Field of the request with the frames that it continues."""
    midi_field: str
    lowest: int
    highest: int
    seconds_per_frame: float
    is_streamed: bool = False
    """Whether the project's stream gives the frames one by one."""


Output = Annotated[
    Probability | Probabilities | Verdict | Measure | Reasons | HeatMap | FanChart | Music,
    Field(discriminator="kind"),
]


class Example(_Described):
    """A request to begin with."""

    title: str
    """A few words."""
    sentence: str = ""
    """What is to be seen in it."""
    request: Mapping[str, Any]
    """As a client sends it."""


class Play(_Described):
    """A project's page."""

    question: str
    """What the model answers, as one sentence that ends with a question mark."""
    inputs: Sequence[Input]
    """In the order of the page."""
    outputs: Sequence[Output]
    """The most important first."""
    examples: Callable[[], Sequence[Example]]
    """Called when somebody opens the page; the first one is answered on opening. At least three."""
    meaning: str
    """What the primary metric says, in one sentence that names a good value."""
    without_answer: str = ""
    """What is said where the first output's field is null."""
    caution: str = ""
    """What the answer must not be used for, one sentence."""
    picture: str
    """Figure of the latest version that the gallery shows: a stem that ``figures`` returns."""

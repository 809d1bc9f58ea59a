"""The page to try the model on: where the home stands, what it is like, its price and the range of it."""

from __future__ import annotations

from modelyard.play.description import Choice, Example, Measure, Moment, Number, Play, Probability, Reasons, Verdict
from pipelines.house_price_prediction.attributes import QUALITY
from pipelines.house_price_prediction.serve import BLOCK_EXAMPLE, EXAMPLE, SALE_EXAMPLE

_GRADES = dict(zip(QUALITY, ("poor", "fair", "typical", "good", "excellent"), strict=True))
_OCEAN = {level: level.capitalize() for level in ("INLAND", "<1H OCEAN", "NEAR OCEAN", "NEAR BAY", "ISLAND")}


def examples() -> list[Example]:
    """Returns a home of the simulated city, one in Ames and a Californian block; a model knows one of the three."""
    return [
        Example(
            title="A home in the simulated city",
            sentence="Move it towards the sea, or away from every home that was sold.",
            request=EXAMPLE.model_dump(mode="json", exclude_none=True),
        ),
        Example(
            title="A bungalow in Ames",
            sentence="For a model of the sales in Ames: quality counts for more than rooms.",
            request=SALE_EXAMPLE.model_dump(mode="json", exclude_none=True),
        ),
        Example(
            title="A census block in Los Angeles",
            sentence="For a model of California: a few kilometres towards the coast double the price.",
            request=BLOCK_EXAMPLE.model_dump(mode="json", exclude_none=True),
        ),
    ]


PLAY = Play(
    question="What is this home worth, in which range, and where is that a guess?",
    inputs=(
        Number(field="latitude_deg", label="Latitude", minimum=32.5, maximum=48.0, step=0.01, unit="°"),
        Number(field="longitude_deg", label="Longitude", minimum=-124.4, maximum=-114.3, step=0.01, unit="°"),
        Number(field="living_area_sqft", label="Living area", minimum=300, maximum=6000, step=10, unit="sq ft"),
        Number(field="overall_quality", label="Material and finish, 1 to 10", minimum=1, maximum=10, step=1),
        Number(field="year_built", label="Built in", minimum=1870, maximum=2025, step=1),
        Number(field="lot_area_sqft", label="Lot", minimum=1000, maximum=50_000, step=100, unit="sq ft"),
        Number(field="full_baths", label="Bathrooms", minimum=0, maximum=4, step=1),
        Number(field="garage_cars", label="Cars in the garage", minimum=0, maximum=4, step=1),
        Choice(field="kitchen_quality", label="Kitchen (Ames)", options=_GRADES, is_advanced=True),
        Moment(field="event_time", label="Sold", is_advanced=True),
        Number(
            field="median_income",
            label="Median income of the block (California)",
            minimum=5_000,
            maximum=150_000,
            step=1_000,
            unit="USD",
        ),
        Number(
            field="housing_median_age",
            label="Median age of the block's homes (California)",
            minimum=1,
            maximum=52,
            step=1,
            unit="years",
        ),
        Number(
            field="total_rooms",
            label="Rooms of the block (California)",
            minimum=10,
            maximum=20_000,
            step=10,
            is_logarithmic=True,
            is_advanced=True,
        ),
        Choice(field="ocean_proximity", label="Way to the sea (California)", options=_OCEAN, is_advanced=True),
    ),
    outputs=(
        Measure(
            field="price",
            label="Price",
            unit="USD",
            decimals=0,
            low_field="price_low",
            high_field="price_high",
            help="Nine of ten prices lie in the range; it is open above where the price may be beyond the cap.",
        ),
        Verdict(
            field="is_far_from_training",
            label="Is it a guess?",
            tones={"true": "unsure", "false": "good"},
            names={"true": "Yes: nothing like it was sold near it", "false": "No: homes like it were sold nearby"},
        ),
        Probability(
            field="is_above_cap_probability",
            label="Capped: more is possible",
            help="The census cut prices off at 500,001 USD.",
        ),
        Measure(
            field="new_area_price",
            label="Had nobody sold in the area",
            unit="USD",
            decimals=0,
            help="What the home alone says, without a single sale around it.",
        ),
        Reasons(field="reasons", label="What makes it so", if_none="Nothing stands out: it is an average home."),
    ),
    examples=examples,
    meaning="Root mean squared error of the prices; for census blocks of 1990, 40,000 USD is good, for single homes"
    " a tenth of the price.",
    caution="An estimate from old sales: no valuation for a loan, a tax or a sale.",
    picture="prices",
)
"""The page."""

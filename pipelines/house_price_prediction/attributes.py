"""What may be known of a home, or of the homes of a census block: names, units, levels, and what a law says of them.

Names and codes of single homes are those of De Cock's data documentation
(https://jse.amstat.org/v19n3/decock/DataDocumentation.txt), those of blocks of the 1990 census.
"""

from __future__ import annotations

from typing import NamedTuple

from modelyard.records import CURRENCY, Column, Dtype

QUALITY = ("Po", "Fa", "TA", "Gd", "Ex")
"""Poor, fair, typical, good, excellent."""

NONE = "none"
"""The level of a feature that a home does not have; the public file writes NA."""


class Attribute(NamedTuple):
    """One attribute.

    Args:
        name: The contract's column.
        dtype: Its type; a string is a category.
        description: What it is.
        source: Header of the public file.
        unit: As in the contract.
        levels: Of a category whose levels have an order, worst first; its numbers are the places, from 0.
        law: 1 where a home that has more of it, all else equal, is not worth less; 0 where nothing is known.
    """

    name: str
    dtype: Dtype
    description: str
    source: str
    unit: str = ""
    levels: tuple[str, ...] = ()
    law: int = 0

    def column(self) -> Column:
        """Returns the contract's column; a home need not have every attribute known."""
        return Column(name=self.name, dtype=self.dtype, description=self.description, unit=self.unit, nullable=True)


def _number(name: str, source: str, description: str, unit: str = "", law: int = 0) -> Attribute:
    """A whole number, or a quantity with a unit."""
    return Attribute(name, "float64" if unit in ("sqft", "ft") else "int64", description, source, unit, law=law)


def _area(name: str, source: str, description: str, law: int = 1) -> Attribute:
    return _number(f"{name}_sqft", source, f"{description}, square feet.", "sqft", law)


def _grade(name: str, source: str, description: str, levels: tuple[str, ...]) -> Attribute:
    """A category whose levels have an order that a law follows."""
    return Attribute(name, "string", description, source, levels=levels, law=1)


def _category(name: str, source: str, description: str, levels: tuple[str, ...] = ()) -> Attribute:
    return Attribute(name, "string", description, source, levels=levels)


_OR_NONE = (NONE, *QUALITY)
_FINISH = (NONE, "Unf", "LwQ", "Rec", "BLQ", "ALQ", "GLQ")

HOME = (
    _area("living_area", "Gr Liv Area", "Living area above ground"),
    _area("lot_area", "Lot Area", "Area of the lot"),
    _number("overall_quality", "Overall Qual", "Material and finish, 1 (very poor) to 10 (very excellent).", law=1),
    _number("overall_condition", "Overall Cond", "Condition, 1 (very poor) to 10 (very excellent).", law=1),
    _number("year_built", "Year Built", "Year of construction."),
    _number("year_remodelled", "Year Remod/Add", "Year of the last remodelling, or of construction."),
    _category("neighbourhood", "Neighborhood", "Name of the neighbourhood."),
    _category("dwelling_class", "MS SubClass", "Age and storeys of the dwelling, as a code."),
    _category("zoning", "MS Zoning", "Zoning of the sale."),
    _number("lot_frontage_ft", "Lot Frontage", "Street along the lot, feet.", "ft"),
    _category("alley", "Alley", "Kind of alley access."),
    _category("lot_shape", "Lot Shape", "Shape of the lot.", ("IR3", "IR2", "IR1", "Reg")),
    _category("land_contour", "Land Contour", "Flatness of the land."),
    _category("lot_configuration", "Lot Config", "Place of the lot in its block."),
    _category("land_slope", "Land Slope", "Slope of the land.", ("Sev", "Mod", "Gtl")),
    _category("proximity", "Condition 1", "What lies near: a street, a railway, a park."),
    _category("building_type", "Bldg Type", "Kind of dwelling."),
    _category("house_style", "House Style", "Storeys, as a style."),
    _category("roof_style", "Roof Style", "Kind of roof."),
    _category("exterior", "Exterior 1st", "Outer covering."),
    _category("masonry_veneer", "Mas Vnr Type", "Kind of masonry veneer."),
    _area("masonry_veneer", "Mas Vnr Area", "Masonry veneer"),
    _grade("exterior_quality", "Exter Qual", "Quality of the exterior.", QUALITY),
    _grade("exterior_condition", "Exter Cond", "Condition of the exterior.", QUALITY),
    _category("foundation", "Foundation", "Kind of foundation."),
    _grade("basement_quality", "Bsmt Qual", "Height of the basement.", _OR_NONE),
    _grade("basement_condition", "Bsmt Cond", "Condition of the basement.", _OR_NONE),
    _grade("basement_exposure", "Bsmt Exposure", "Walls open to the garden.", (NONE, "No", "Mn", "Av", "Gd")),
    _grade("basement_finish", "BsmtFin Type 1", "Finish of the basement.", _FINISH),
    _area("finished_basement", "BsmtFin SF 1", "Finished basement"),
    _area("basement", "Total Bsmt SF", "Basement"),
    _grade("heating_quality", "Heating QC", "Quality of the heating.", QUALITY),
    _grade("central_air", "Central Air", "Central air conditioning.", ("N", "Y")),
    _category("electrical", "Electrical", "Electrical system."),
    _area("first_floor", "1st Flr SF", "First floor", law=0),
    _area("second_floor", "2nd Flr SF", "Second floor", law=0),
    _number("basement_full_baths", "Bsmt Full Bath", "Full bathrooms in the basement.", law=1),
    _number("full_baths", "Full Bath", "Full bathrooms above ground.", law=1),
    _number("half_baths", "Half Bath", "Half bathrooms above ground.", law=1),
    _number("bedrooms", "Bedroom AbvGr", "Bedrooms above ground."),
    _number("kitchens", "Kitchen AbvGr", "Kitchens above ground."),
    _grade("kitchen_quality", "Kitchen Qual", "Quality of the kitchen.", QUALITY),
    _number("rooms", "TotRms AbvGrd", "Rooms above ground, without bathrooms."),
    _grade(
        "functionality",
        "Functional",
        "How far the home works as one.",
        ("Sal", "Sev", "Maj2", "Maj1", "Mod", "Min2", "Min1", "Typ"),
    ),
    _number("fireplaces", "Fireplaces", "Fireplaces.", law=1),
    _grade("fireplace_quality", "Fireplace Qu", "Quality of the fireplace.", _OR_NONE),
    _category("garage_type", "Garage Type", "Where the garage stands."),
    _number("garage_year_built", "Garage Yr Blt", "Year of the garage's construction."),
    _grade("garage_finish", "Garage Finish", "Finish of the garage.", (NONE, "Unf", "RFn", "Fin")),
    _number("garage_cars", "Garage Cars", "Cars that the garage holds.", law=1),
    _area("garage", "Garage Area", "Garage"),
    _grade("paved_drive", "Paved Drive", "Paving of the drive.", ("N", "P", "Y")),
    _area("wood_deck", "Wood Deck SF", "Wooden deck"),
    _area("open_porch", "Open Porch SF", "Open porch"),
    _area("screen_porch", "Screen Porch", "Screened porch"),
    _category("fence", "Fence", "Kind of fence."),
    _category("sale_type", "Sale Type", "Kind of deed."),
    _category("sale_condition", "Sale Condition", "Whether the sale was a normal one."),
)
"""Of a single home."""

BLOCK = (
    Attribute("longitude_deg", "float64", "Degrees east of Greenwich.", "longitude", "deg"),
    Attribute("latitude_deg", "float64", "Degrees north of the equator.", "latitude", "deg"),
    _number("housing_median_age", "housing_median_age", "Median age of the block's homes, years; 52 is 52 or more."),
    _number("total_rooms", "total_rooms", "Rooms of all homes of the block."),
    _number("total_bedrooms", "total_bedrooms", "Bedrooms of all homes of the block."),
    _number("population", "population", "People who live in the block."),
    _number("households", "households", "Households of the block."),
    Attribute(
        "median_income", "float64", "Median income of the block's households in a year.", "median_income", CURRENCY
    ),
    _category("ocean_proximity", "ocean_proximity", "Where the block lies from the sea."),
)
"""Of a census block, whose price is the median of its homes; a single home has a place on the map, too."""

ATTRIBUTES = (*BLOCK, *HOME)
"""All of them, in the order of the contract."""

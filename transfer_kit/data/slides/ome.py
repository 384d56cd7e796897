"""OME-XML in the description of a TIFF: the size of its pixels."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import ParseError  # for its name only; parsing is defusedxml's

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from transfer_kit.data.slides.opened import unopenable
from transfer_kit.data.slides.scale import stated_mpp
from transfer_kit.errors import UserError


def ome_mpp(xml: str, path: Path) -> float | None:
    """µm per pixel of the first image that OME-XML describes.

    Args:
        xml: The description of the TIFF's first page.
        path: Of the TIFF, for the error.

    Raises:
        UserError: the XML is damaged, or declares entities.
    """
    try:
        root = ElementTree.fromstring(xml.encode(), forbid_dtd=True)
    except (DefusedXmlException, ValueError) as error:
        raise UserError(
            f"{path} declares XML entities in its description, which can be used to attack "
            "programs; export it again from the program that made it."
        ) from error
    except ParseError as error:
        raise unopenable(path, f"its OME-XML is no XML: {error}") from error
    pixels = next((item for item in root.iter() if item.tag.endswith("}Pixels")), None)
    if pixels is None:
        return None
    x, y = (pixels.get(f"PhysicalSize{axis}") for axis in "XY")
    units = {pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "XY"}
    return stated_mpp(x, y or x, unit=units.pop()) if len(units) == 1 else None

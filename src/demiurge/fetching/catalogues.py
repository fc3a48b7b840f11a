"""Services and products: addresses, collections, assets, masks, credits."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from demiurge.errors import ResourceError, UsageError, missing_extra
from demiurge.layers import PRIOR

#: Environment variable of the token for NASA Earthdata.
TOKEN = "EARTHDATA_TOKEN"

MaskRule = Literal["scl", "qa_pixel", "fmask"]
#: Signs a URL; with True under a fresh signature.
Sign = Callable[[str, bool], str]


@dataclass(frozen=True)
class Service:
    """A STAC API.

    Attributes
    ----------
    name
        Name on the command line; the URL for others.
    url
        Landing page of the API.
    sign
        Signs the URLs of files; None if they need no signature.
    token
        Environment variable of a bearer token that downloads need; empty if none.
    """

    name: str
    url: str
    sign: Sign | None = None
    token: str = ""

    def headers(self) -> dict[str, str]:
        """Return the HTTP headers of downloads.

        Raises
        ------
        ResourceError
            If the service needs a token and its variable is not set.
        """
        if not self.token:
            return {}
        value = os.environ.get(self.token, "").strip()
        if not value:
            raise ResourceError(
                f"{self.name}: downloads need a token of NASA Earthdata, and {self.token} is not "
                "set",
                f"create a token at https://urs.earthdata.nasa.gov and set {self.token}, or leave "
                "out --stac, because Planetary Computer needs none",
            )
        return {"Authorization": f"Bearer {value}"}


@dataclass(frozen=True)
class Product:
    """A product of imagery or heights.

    Attributes
    ----------
    collections
        Collections by name of the service, in order of preference; ``""`` for other services.
    service
        Name of the service if none is chosen.
    assets
        Keys of assets by layer, in order of preference; by sensor if sensors differ.
    mask
        Keys of the assets with classes or flags.
    rule
        Meaning of the mask.
    gsd
        Pixel size in metres.
    credit, licence
        Attribution, with ``{years}`` for the years of acquisition, and the terms of use.
    """

    name: str
    collections: Mapping[str, tuple[str, ...]]
    service: str
    gsd: float
    credit: str
    licence: str
    assets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mask: tuple[str, ...] = ()
    rule: MaskRule | None = None
    together: bool = False


def sign_planetary_computer(url: str, fresh: bool) -> str:
    """Sign a URL of Planetary Computer; tokens are kept until they expire.

    Raises
    ------
    ResourceError
        If the service that signs does not answer.
    """
    try:
        import planetary_computer
        from planetary_computer import sas
    except ImportError:
        raise missing_extra("planetary-computer", "fetch", "Planetary Computer") from None
    from requests import RequestException

    if fresh:
        sas.TOKEN_CACHE.clear()
    try:
        return str(planetary_computer.sign_url(url))
    except RequestException as error:
        raise ResourceError(
            f"Planetary Computer does not sign ({type(error).__name__})", "try again later"
        ) from None


SERVICES = {
    service.name: service
    for service in (
        Service("earth-search", "https://earth-search.aws.element84.com/v1"),
        Service(
            "planetary-computer",
            "https://planetarycomputer.microsoft.com/api/stac/v1",
            sign_planetary_computer,
        ),
        Service("lpdaac", "https://cmr.earthdata.nasa.gov/stac/LPCLOUD", token=TOKEN),
    )
}


def service_of(text: str) -> Service:
    """Return the service that a name or a URL names.

    Raises
    ------
    UsageError
        If it is neither.
    """
    if text in SERVICES:
        return SERVICES[text]
    if urlsplit(text).scheme not in ("http", "https"):
        raise UsageError(
            f"--stac {text}: is no service", f"choose {', '.join(SERVICES)} or give a URL"
        )
    known = next((s for s in SERVICES.values() if s.url == text.rstrip("/")), None)
    return known or Service(text, text)


_HLS: dict[str, tuple[str, ...]] = {
    "coastal": ("B01",), "blue": ("B02",), "green": ("B03",), "red": ("B04",),
}  # fmt: skip
#: Assets of HLS by sensor; S30's narrow B8A matches L30's B05.
HLS_ASSETS: dict[str, dict[str, tuple[str, ...]]] = {
    "S30": {**_HLS, "nir": ("B8A",), "swir1": ("B11",), "swir2": ("B12",)},
    "L30": {**_HLS, "nir": ("B05",), "swir1": ("B06",), "swir2": ("B07",)},
}

PRODUCTS = {
    product.name: product
    for product in (
        Product(
            name="sentinel2",
            collections={
                "earth-search": ("sentinel-2-c1-l2a", "sentinel-2-l2a"),
                "planetary-computer": ("sentinel-2-l2a",),
                "": ("sentinel-2-c1-l2a", "sentinel-2-l2a"),
            },
            service="earth-search",
            gsd=10.0,
            credit="Contains modified Copernicus Sentinel data {years}",
            licence="Copernicus Sentinel data: free, full and open access",
            assets={
                "coastal": ("coastal", "B01"),
                "blue": ("blue", "B02"),
                "green": ("green", "B03"),
                "red": ("red", "B04"),
                "red_edge1": ("rededge1", "B05"),
                "red_edge2": ("rededge2", "B06"),
                "red_edge3": ("rededge3", "B07"),
                "nir": ("nir", "B08"),
                "nir_narrow": ("nir08", "B8A"),
                "swir1": ("swir16", "B11"),
                "swir2": ("swir22", "B12"),
            },
            mask=("scl", "SCL"),
            rule="scl",
        ),
        Product(
            name="landsat",
            collections={"": ("landsat-c2-l2",)},
            service="planetary-computer",
            gsd=30.0,
            credit="Landsat Collection 2 {years}, courtesy of the U.S. Geological Survey",
            licence="Landsat data: public domain",
            assets={
                "coastal": ("coastal",),
                "blue": ("blue",),
                "green": ("green",),
                "red": ("red",),
                "nir": ("nir08",),
                "swir1": ("swir16",),
                "swir2": ("swir22",),
            },
            mask=("qa_pixel", "qa"),
            rule="qa_pixel",
        ),
        Product(
            name="hls",
            collections={
                "lpdaac": ("HLSS30_2.0", "HLSL30_2.0"),
                "planetary-computer": ("hls2-s30", "hls2-l30"),
                "": ("hls2-s30", "hls2-l30", "HLSS30_2.0", "HLSL30_2.0"),
            },
            service="planetary-computer",
            gsd=30.0,
            credit="HLS v2.0 (doi:10.5067/HLS/HLSS30.002, doi:10.5067/HLS/HLSL30.002) {years}, "
            "NASA EOSDIS Land Processes DAAC",
            licence="HLS data: no restrictions",
            assets=HLS_ASSETS["S30"],
            mask=("Fmask",),
            rule="fmask",
            together=True,
        ),
        Product(
            name=PRIOR,
            collections={"": ("cop-dem-glo-30",)},
            service="earth-search",
            gsd=30.0,
            credit="Produced using Copernicus WorldDEM-30 © DLR e.V. 2010-2014 and © Airbus "
            "Defence and Space GmbH 2014-2018, provided under COPERNICUS by the European Union "
            "and ESA; all rights reserved",
            licence="Copernicus DEM GLO-30: free of charge, with the credit",
            assets={PRIOR: ("data", "elevation")},
        ),
    )
}  # fmt: skip
#: Products of images.
IMAGERY = ("sentinel2", "landsat", "hls")


def collections_of(product: Product, service: Service) -> tuple[str, ...]:
    """Return the collections of a product at a service, in order of preference."""
    found: Any = product.collections.get(service.name)
    return tuple(found or product.collections[""])

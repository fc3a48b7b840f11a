"""Search of STAC APIs: items of an area and a time, grouped by passes of the satellite."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from demiurge.errors import DataError, ResourceError, missing_extra
from demiurge.fetching.calibration import Radiometry, baseline_of, calibration
from demiurge.fetching.catalogues import (
    HLS_ASSETS,
    Product,
    Service,
    collections_of,
)
from demiurge.fetching.http import Client, shown
from demiurge.scene.camera import Direction
from demiurge.scene.grid import Bounds

#: Seconds between tiles of one pass.
_PASS = 1200.0
#: Items beyond which a search is refused: the time or the area is too wide.
MOST_ITEMS = 2000


@dataclass(frozen=True)
class Asset:
    """A file of an item.

    Attributes
    ----------
    url
        Without a signature.
    calibration
        Of images; None for masks and heights.
    """

    url: str
    calibration: Radiometry | None = None


@dataclass(frozen=True)
class SceneItem:
    """An item of imagery or heights, with the assets that are needed.

    Attributes
    ----------
    cloud
        Cloud cover of the entire item in percent; 0 if not stated.
    sun
        Direction to the sun from true north; None if not stated.
    mask
        The file of classes or flags; None for heights.
    code, affine
        EPSG code and affine of the files, if stated.
    """

    name: str
    product: str
    moment: dt.datetime
    cloud: float
    sun: Direction | None
    assets: Mapping[str, Asset]
    mask: Asset | None
    code: int | None = None
    affine: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Pass:
    """Items of one pass of a satellite, which have the same sun."""

    items: list[SceneItem] = field(default_factory=list)

    @property
    def moment(self) -> dt.datetime:
        """Return the time of the first item."""
        return self.items[0].moment

    @property
    def cloud(self) -> float:
        """Return the mean cloud cover of the items in percent."""
        return sum(item.cloud for item in self.items) / len(self.items)

    @property
    def sun(self) -> Direction | None:
        """Return the sun of the first item that states it."""
        return next((item.sun for item in self.items if item.sun is not None), None)


def search(
    service: Service,
    product: Product,
    layers: Sequence[str],
    boxes: Sequence[Bounds],
    when: str | None,
    client: Client,
) -> tuple[list[SceneItem], list[str]]:
    """Return the items of a product that touch an area, and notes on items left out.

    Parameters
    ----------
    layers
        Layers that the items must have.
    boxes
        Bounds in degrees, each within ±180°.
    when
        Interval as the API takes it; None for any time.

    Raises
    ------
    ResourceError
        If the service does not answer, or has none of the collections.
    """
    api = _open(service, client)
    known = _known_collections(service, product, api)
    groups = [known] if product.together else [[name] for name in known]
    notes: list[str] = []
    for group in groups:
        found = _query(api, service, group, boxes, when)
        items = [item for item in (_read(x, product, layers, notes) for x in found) if item]
        if items:
            return _newest(items), notes
    return [], notes


def passes_of(items: Iterable[SceneItem]) -> list[Pass]:
    """Return items grouped by pass: at most 20 minutes lie between neighbours in time."""
    passes: list[Pass] = []
    last: dt.datetime | None = None
    for item in sorted(items, key=lambda x: (x.moment, x.name)):
        if last is None or (item.moment - last).total_seconds() > _PASS:
            passes.append(Pass())
        passes[-1].items.append(item)
        last = item.moment
    return passes


def _open(service: Service, client: Client) -> Any:
    """Open an API whose requests go through a client."""
    try:
        import pystac_client
        from pystac_client.exceptions import APIError
        from pystac_client.stac_api_io import StacApiIO
    except ImportError:
        raise missing_extra("pystac-client", "fetch", "searching imagery") from None

    class Requests(StacApiIO):  # type: ignore[misc, unused-ignore]
        def request(
            self,
            href: str,
            method: str | None = None,
            headers: dict[str, str] | None = None,
            parameters: dict[str, Any] | None = None,
        ) -> str:
            method = (method or "GET").upper()
            get = method == "GET"
            _, data = client.request(
                method,
                str(href),
                params=parameters if get else None,
                body=None if get else parameters,
                headers=headers,
            )
            return data.decode("utf-8")

    try:
        return pystac_client.Client.open(service.url, stac_io=Requests())
    except (APIError, ValueError, KeyError, TypeError) as error:
        raise _no_api(service, error) from None


def _no_api(service: Service, error: Exception) -> ResourceError:
    reason = type(error).__name__.removesuffix("Error")
    return ResourceError(f"{shown(service.url)}: is no STAC API ({reason})", "check the URL")


def _known_collections(service: Service, product: Product, api: Any) -> list[str]:
    """Return the product's collections that the service has, in order of preference."""
    wanted = collections_of(product, service)
    if service.url != service.name:  # a preset, whose collections are known
        return list(wanted)
    have = {str(collection.id) for collection in _answers(service, api.get_collections)}
    known = [name for name in wanted if name in have]
    if not known:
        raise ResourceError(
            f"{shown(service.url)}: has no collection {' or '.join(wanted)}",
            "choose another service with --stac",
        )
    return known


def _query(
    api: Any, service: Service, group: list[str], boxes: Sequence[Bounds], when: str | None
) -> list[dict[str, Any]]:
    """Return the items of collections as dictionaries, each once."""
    found: dict[str, dict[str, Any]] = {}
    for box in boxes:
        query = api.search(collections=group, bbox=list(box), datetime=when, limit=100)
        for item in _answers(service, query.items_as_dicts):
            found[str(item.get("id"))] = item
            if len(found) > MOST_ITEMS:
                raise DataError(
                    f"{shown(service.url)}: more than {MOST_ITEMS} items are in the area and time",
                    "give a shorter --when or a smaller area",
                )
    return list(found.values())


def _answers(service: Service, ask: Any) -> Iterator[Any]:
    """Yield the answers of an API; an answer of another form is an error."""
    from pystac_client.exceptions import APIError

    try:
        yield from ask()
    except (
        APIError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        NotImplementedError,
    ) as error:
        raise _no_api(service, error) from None


def _read(
    raw: Mapping[str, Any], product: Product, layers: Sequence[str], notes: list[str]
) -> SceneItem | None:
    """Read an item; None, and a note, if it cannot be used."""
    name = str(raw.get("id"))
    properties = raw.get("properties") or {}
    files = raw.get("assets") or {}
    try:
        assets = {
            layer: _asset(product, properties, files, keys, name)
            for layer, keys in _keys(product, raw).items()
            if layer in layers
        }
        mask = None if product.rule is None else Asset(_file(files, product.mask, name)["href"])
        moment = _moment(properties, name)
    except DataError as error:
        notes.append(f"left out: {error.what}")
        return None
    missing = [layer for layer in layers if layer not in assets]
    if missing:
        notes.append(f"left out: {name}: has no {', '.join(missing)}")
        return None
    mask = None if mask is None else Asset(public_url(mask.url))
    return SceneItem(
        name, product.name, moment, _cloud(properties), sun_of(properties), assets, mask,
        *_projection(properties, files, assets),
    )  # fmt: skip


def _keys(product: Product, raw: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
    """Return the keys of assets by layer; those of HLS depend on the sensor."""
    if product.name != "hls":
        return product.assets
    text = f"{raw.get('collection', '')} {raw.get('id', '')}".upper()
    return HLS_ASSETS["L30" if "L30" in text else "S30"]


def _asset(
    product: Product,
    properties: Mapping[str, Any],
    files: Mapping[str, Any],
    keys: Sequence[str],
    name: str,
) -> Asset:
    found = _file(files, keys, name)
    stated = (
        calibration(product.name, properties, found, name) if product.rule is not None else None
    )
    return Asset(public_url(str(found["href"])), stated)


def _file(files: Mapping[str, Any], keys: Sequence[str], name: str) -> Mapping[str, Any]:
    for key in keys:
        if key in files and files[key].get("href"):
            found: Mapping[str, Any] = files[key]
            return found
    raise DataError(f"{name}: has no asset {' or '.join(keys)}")


def public_url(url: str) -> str:
    """Return the HTTPS address of a file in a public bucket of S3.

    >>> public_url("s3://copernicus-dem-30m/a/b.tif")
    'https://copernicus-dem-30m.s3.amazonaws.com/a/b.tif'
    """
    if not url.startswith("s3://"):
        return url
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return f"https://{bucket}.s3.amazonaws.com/{key}"


def _moment(properties: Mapping[str, Any], name: str) -> dt.datetime:
    text = properties.get("datetime") or properties.get("start_datetime")
    try:
        moment = dt.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        raise DataError(f"{name}: states no time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _cloud(properties: Mapping[str, Any]) -> float:
    value = properties.get("eo:cloud_cover")
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


#: Names of azimuth and elevation, or azimuth and zenith angle, of the sun.
_SUN = (("view:sun_azimuth", "view:sun_elevation"),)
_SUN_ZENITH = (
    ("s2:mean_solar_azimuth", "s2:mean_solar_zenith"),
    ("MEAN_SUN_AZIMUTH_ANGLE", "MEAN_SUN_ZENITH_ANGLE"),
)


def sun_of(properties: Mapping[str, Any]) -> Direction | None:
    """Return the direction to the sun that an item states, from true north; None if none."""
    pairs = [(properties.get(a), properties.get(e), False) for a, e in _SUN]
    pairs += [(properties.get(a), properties.get(z), True) for a, z in _SUN_ZENITH]
    for azimuth, angle, is_zenith in pairs:
        if azimuth is None or angle is None:
            continue
        try:
            return Direction(float(azimuth), 90 - float(angle) if is_zenith else float(angle))
        except (DataError, ValueError, TypeError):
            continue
    return None


def _projection(
    properties: Mapping[str, Any], files: Mapping[str, Any], assets: Mapping[str, Asset]
) -> tuple[int | None, tuple[float, ...] | None]:
    """Return EPSG code and affine of the first asset, as far as they are stated."""
    urls = {asset.url for asset in assets.values()}
    first: Mapping[str, Any] = next(
        (x for x in files.values() if public_url(str(x.get("href"))) in urls), {}
    )
    code = first.get("proj:epsg", properties.get("proj:epsg"))
    if code is None:
        text = str(first.get("proj:code", properties.get("proj:code")) or "")
        code = int(text.removeprefix("EPSG:")) if text.startswith("EPSG:") else None
    affine = first.get("proj:transform", properties.get("proj:transform"))
    return code, tuple(affine[:6]) if affine else None


def _newest(items: list[SceneItem]) -> list[SceneItem]:
    """Return items without older versions of the same acquisition and tile."""
    best: dict[str, tuple[float, str, SceneItem]] = {}
    for item in items:
        key = _acquisition(item)
        rank = (baseline_of({}, item.name) or 0.0, item.name)
        if key not in best or rank > best[key][:2]:
            best[key] = (*rank, item)
    return [item for _, _, item in best.values()]


def _acquisition(item: SceneItem) -> str:
    """Return a text that is equal for versions of one acquisition of one tile."""
    if item.product != "sentinel2":
        return item.name
    place = json.dumps([item.code, item.affine]) if item.affine else item.name
    return f"{item.moment:%Y%m%dT%H%M} {place}"

"""The real places that `refine` is trained and validated on, and the owners of their data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Credit lines of the bundle, by source.
CREDITS = {
    "auckland": "Auckland lidar and aerial photo: Land Information New Zealand and Auckland "
    "Council, CC-BY 4.0",
    "queenstown": "Queenstown lidar: Land Information New Zealand, CC-BY 4.0",
    "ahn": "Delft and Holland lidar: AHN, CC0",
    "seville": "Seville lidar: LiDAR-PNOA, CC-BY 4.0 scne.es",
    "neon": "Teakettle and Ordway-Swisher lidar: NEON (National Ecological Observatory Network), "
    "CC0 1.0",
    "usgs": "Hawaii, Liberty Island and Devils Tower lidar: NOAA and USGS 3DEP, public domain",
    "ign": "French lidar: IGN, Etalab 2.0",
    "adelaide": "Adelaide lidar: LAStools sample by way of CloudGeometry, MIT",
    "autzen": "Autzen stadium lidar and imagery, PDAL/data, CC-BY 4.0",
    "alexandria": "Alexandria surface: opengeos/data, MIT",
}


@dataclass(frozen=True)
class Place:
    """A lidar surface with open data.

    Attributes
    ----------
    name
        Its folder below DATA or DATA/surfaces: dsm.tif, dtm.tif and perhaps rgb.tif or grey.tif.
    source
        Key of its credit.
    weight
        How often it is drawn for training, relative to the others; 0 validates.
    step
        Heights are packed in units of this many 1/32 m; coarser units compress better.
    rest_judges
        Only the first two thirds of its rows, less 200, are used: benchmarks use the rest.
    plots
        A sheet of separate forest plots, which are recombined for each scene.
    """

    name: str
    source: str
    weight: float = 0
    step: int = 1
    rest_judges: bool = False
    plots: bool = False

    def folder(self, data: Path) -> Path:
        """Return its folder below the folder of real rasters."""
        inner = data / "surfaces" / self.name
        return inner if inner.is_dir() else data / self.name


TRAINED = (
    Place("queenstown", "queenstown", 10, step=2),
    Place("holland_ahn", "ahn", 5),
    Place("delft", "ahn", 5),
    Place("seville_plaza", "seville", 3),
    Place("liberty", "usgs", 1.5),
    Place("auckland_cbd", "auckland", 7, step=2),
    Place("auckland_port", "auckland", 7, step=2),
    Place("auckland_suburb", "auckland", 11, step=2),
    Place("auckland_wynyard", "auckland", 5),
    Place("auckland_domain", "auckland", 6, step=2),
    Place("auckland_grafton", "auckland", 7, step=2),
    Place("auckland_uptown", "auckland", 6),
    Place("auckland_victoria", "auckland", 5),
    Place("hawaii_forest", "usgs", 11, step=2),
    Place("teakettle_plots", "neon", 5, step=2, plots=True),
    Place("devils_tower", "usgs", 2),
    Place("ign_alps_house", "ign", 1.5),
    Place("ign_barn", "ign", 1),
    Place("ign_riverwood", "ign", 1.5),
    Place("autzen_west", "autzen", 9, rest_judges=True),
    Place("alexandria", "alexandria", 1.5),
    Place("ign_stbarth", "ign", 1),
    Place("ign_houses", "ign", 1),
)
#: Places that are never trained on.
VALIDATED = (
    Place("auckland_freemans", "auckland"),
    Place("seville_cathedral", "seville"),
    Place("adelaide", "adelaide"),
    Place("osbs_pine", "neon"),
)
PLACES = {place.name: place for place in (*TRAINED, *VALIDATED)}


def credits() -> list[str]:
    """Return the credit lines of all places."""
    used = {place.source for place in PLACES.values()}
    return [text for source, text in CREDITS.items() if source in used]

"""Land-cover classes and their reflectances.

Reflectances are round numbers in the ranges of spectral libraries and Sentinel-2 images (for
example the USGS Spectral Library, doi 10.3133/ds1035).
"""

from __future__ import annotations

#: Land-cover class numbers.
GRASS, FOREST, BUILDING, ROAD, WATER, ROCK, SNOW, CROPS = 1, 2, 3, 4, 5, 6, 7, 8

#: Names of the classes, as in the layer ``landcover``.
CLASSES = {
    GRASS: "grass and soil",
    FOREST: "trees",
    BUILDING: "buildings",
    ROAD: "roads",
    WATER: "water",
    ROCK: "rock and gravel",
    SNOW: "snow",
    CROPS: "crops",
}

#: Mean panchromatic reflectance, standard deviation of its texture, and NDVI by class.
PANCHROMATIC = {
    GRASS: (0.30, 0.05, 0.45),
    FOREST: (0.22, 0.05, 0.75),
    BUILDING: (0.40, 0.03, 0.05),
    ROAD: (0.22, 0.015, 0.05),
    WATER: (0.06, 0.004, -0.2),
    ROCK: (0.42, 0.06, 0.08),
    SNOW: (0.82, 0.008, -0.05),
    CROPS: (0.30, 0.025, 0.40),
}
#: Change of NDVI per unit of ``Canvas.shade`` by class: dark crops are green, bright ones bare.
NDVI_PER_SHADE = {CROPS: -0.9, GRASS: 0.0}

#: Multispectral bands in the order of the tables below.
BANDS = (
    "coastal", "blue", "green", "red", "red_edge1", "red_edge2", "red_edge3", "nir",
    "nir_narrow", "swir1", "swir2",
)  # fmt: skip

#: Pixel size of each band on Sentinel-2 in metres.
NATIVE_GSD = dict(zip(BANDS, (60, 10, 10, 10, 20, 20, 20, 10, 20, 20, 20), strict=True))

#: Two reflectance spectra by class (such as lush and dry); pixels are mixed from both.
SPECTRA: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] = {
    GRASS: (
        (0.03, 0.04, 0.08, 0.05, 0.13, 0.28, 0.34, 0.36, 0.37, 0.21, 0.11),
        (0.08, 0.10, 0.14, 0.19, 0.22, 0.25, 0.27, 0.29, 0.30, 0.36, 0.28),
    ),
    FOREST: (
        (0.02, 0.025, 0.05, 0.03, 0.08, 0.26, 0.33, 0.35, 0.36, 0.16, 0.07),
        (0.015, 0.018, 0.032, 0.022, 0.05, 0.14, 0.18, 0.20, 0.20, 0.09, 0.04),
    ),
    CROPS: (
        (0.03, 0.035, 0.07, 0.04, 0.11, 0.33, 0.43, 0.45, 0.46, 0.20, 0.10),
        (0.09, 0.11, 0.14, 0.18, 0.20, 0.22, 0.23, 0.25, 0.26, 0.34, 0.29),
    ),
    BUILDING: (
        (0.06, 0.07, 0.09, 0.09, 0.13, 0.20, 0.22, 0.23, 0.23, 0.19, 0.14),
        (0.14, 0.16, 0.18, 0.20, 0.21, 0.22, 0.23, 0.24, 0.24, 0.26, 0.24),
    ),
    ROCK: (
        (0.11, 0.12, 0.14, 0.16, 0.17, 0.18, 0.19, 0.20, 0.21, 0.23, 0.21),
        (0.20, 0.22, 0.25, 0.28, 0.29, 0.30, 0.31, 0.32, 0.33, 0.36, 0.34),
    ),
    SNOW: (
        (0.92, 0.91, 0.90, 0.88, 0.86, 0.83, 0.80, 0.78, 0.75, 0.12, 0.09),
        (0.78, 0.77, 0.76, 0.73, 0.70, 0.66, 0.62, 0.58, 0.54, 0.06, 0.05),
    ),
    ROAD: (
        (0.12, 0.13, 0.15, 0.17, 0.18, 0.20, 0.21, 0.22, 0.22, 0.26, 0.24),
        (0.20, 0.23, 0.26, 0.30, 0.31, 0.32, 0.33, 0.34, 0.34, 0.40, 0.37),
    ),
    WATER: (
        (0.055, 0.05, 0.045, 0.025, 0.018, 0.014, 0.012, 0.010, 0.009, 0.005, 0.003),
        (0.065, 0.07, 0.08, 0.06, 0.05, 0.035, 0.03, 0.025, 0.022, 0.008, 0.005),
    ),
}

#: Share of diffuse sky light in the irradiance of flat ground.
DIFFUSE_SHARE = dict(zip(BANDS, (.33, .28, .20, .15, .13, .12, .11, .10, .10, .06, .05),
                         strict=True))  # fmt: skip

#: Path reflectance of clear air at the top of the atmosphere (Rayleigh scattering, about).
MOLECULAR_REFLECTANCE = dict(zip(BANDS, (.11, .075, .042, .022, .017, .013, .010, .007, .006, .001,
                                         .0), strict=True))  # fmt: skip

#: Path reflectance of thick haze.
HAZE_REFLECTANCE = dict(zip(BANDS, (.16, .13, .09, .065, .055, .048, .042, .036, .034, .012, .008),
                            strict=True))  # fmt: skip

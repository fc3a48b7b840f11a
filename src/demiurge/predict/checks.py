"""Checks of a scene against a bundle: errors for what cannot be used, warnings for the user."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from demiurge.errors import DataError, UsageError
from demiurge.layers import PANCHROMATIC, PRIOR, Kind
from demiurge.model.bundle import Bundle, Task
from demiurge.predict.above_ground import over_ground
from demiurge.predict.heights.prior import PriorConstraint, constrain_to_prior
from demiurge.predict.heights.sharpening import LARGEST_ASSUMED
from demiurge.predict.options import OPTION_OF, Options
from demiurge.raster.smoothness import smoothness
from demiurge.scene.check import require_fit
from demiurge.scene.grid import sample_windows
from demiurge.scene.scene import Scene

#: Share of the scene without prior above which a warning is given.
_WITHOUT_PRIOR = 0.001
#: Accepted ratio of an image's grain to the range of the training images.
_GRAIN = 1.5
#: Side in pixels of the sample of heights that is tested for smoothness.
_SAMPLE = 512
#: Accepted difference of an image's mean from that of the training images, in their standard
#: deviations, and accepted ratio of the standard deviations.
_SHIFT, _RATIO = 3.0, 5.0

_FINE = (
    "the prior is as fine as the image, or was resampled to it: its heights stay as they are, and "
    "the uncertainty is what the bundle learned on other priors; --prior-accuracy says how far it "
    "may correct them"
)
_CORRECTED = (
    "the prior is as fine as the image: the bundle corrects its heights as far as their accuracy "
    "of {accuracy:g} m allows, but adds no detail"
)
_NO_ACCURACY = (
    "the prior's own errors are not known: the uncertainty includes assumed ones of at most "
    f"{LARGEST_ASSUMED:g} m; give their standard deviation with --prior-accuracy"
)


def require_match(scene: Scene, bundle: Bundle, task: Task, options: Options) -> None:
    """Check task, layers and pixel size, without reading pixels.

    Raises
    ------
    UsageError, DataError
        For what does not match.
    """
    card, contract = bundle.card, bundle.contract
    if card.task != task:
        raise UsageError(
            f"bundle '{card.name}' was trained to {card.task}", f"use: demiurge {card.task}"
        )
    missing = [name for name in contract.required if name not in scene.layers]
    if missing:
        option = OPTION_OF.get(missing[0])
        cure = f"give it with {option}" if option else f"it takes {', '.join(contract.names)}"
        raise UsageError(f"bundle '{card.name}' needs layer '{missing[0]}'", cure)
    sizes = card.pixel_sizes
    if not sizes.fits(scene.pixel_size) and not options.any_pixel_size:
        raise DataError(
            f"{scene.name}: its pixel size of {scene.pixel_size:g} m is outside the range "
            f"of bundle '{card.name}' ({sizes.low:g} to {sizes.high:g} m)",
            "resample it, choose another bundle, or add --any-pixel-size",
        )
    if options.ground == "interpolated":
        _require_ground(bundle, options)
    raw = [n for n in contract.names if n in scene.equalised and not contract.equalise]
    if raw:
        raise DataError(
            f"scene '{scene.name}' has an equalised '{raw[0]}', but bundle '{card.name}' was "
            "trained without",
            "prepare it with --no-equalise, or give plain files",
        )


def _require_ground(bundle: Bundle, options: Options) -> None:
    """Raise unless surface, bare earth and its uncertainty are written."""
    if options.target is not None or not bundle.contract.surface_and_ground:
        raise UsageError(
            "--ground interpolated needs the DSM, the DTM and its uncertainty",
            "leave out --target, or use a bundle that predicts them",
        )


def survey(scene: Scene, bundle: Bundle, targets: list[str], any_input: bool) -> tuple[str, ...]:
    """Read a sample of every layer, check it, and return warnings.

    Raises
    ------
    DataError
        For layers that cannot be what they are given as, and for a DSM that is too clean.
    """
    contract, name = bundle.contract, bundle.card.name
    unused = [n for n in scene.sources if n in OPTION_OF and n not in contract.names]
    if (contract.relative or contract.above_ground) and PRIOR in unused:
        unused.remove(PRIOR)  # relative heights are adjusted to it, those above ground added
    notes = [f"{n} is not used: bundle '{name}' has no such layer" for n in unused]
    over = [PRIOR] if over_ground(scene, bundle) else []
    needed = tuple(n for n in (*contract.names, *over) if n in scene.layers)
    scene.compute_statistics(needed)
    notes += [f"{f.layer}: {f.message}" for f in require_fit(scene, needed)]
    notes += _clean(scene, bundle, targets, any_input)
    return (*notes, *_without_prior(scene, bundle), *_unlike(scene, bundle))


def prior_constraint(scene: Scene, bundle: Bundle, options: Options) -> PriorConstraint | None:
    """Return the constraint to the prior; None without a prior, or if the user ignores it.

    Raises
    ------
    UsageError
        For an option without effect.
    """
    accuracy, detail = options.prior_accuracy, options.detail
    if bundle.contract.base != PRIOR:
        for name, value in (("--prior-accuracy", accuracy), ("--detail", detail)):
            if value is not None:
                raise _no_effect(name, f"bundle '{bundle.card.name}' corrects no prior here")
        return None
    if accuracy == math.inf:
        if detail is not None:
            raise _no_effect("--detail", "--prior-accuracy inf ignores the prior")
        return None
    accuracy = bundle.contract.prior_accuracy if accuracy is None else accuracy
    if accuracy and not bundle.contract.uncertainty:
        raise UsageError(
            f"bundle '{bundle.card.name}' predicts no uncertainty that a prior's accuracy could be "
            "weighed against",
            "choose --prior-accuracy 0 or inf",
        )
    constraint = constrain_to_prior(scene, accuracy)
    if constraint.fine and detail is not None and (detail or accuracy):
        raise _no_effect("--detail", "the prior is as fine as the image and has no finer part")
    return constraint


def on_prior(constraint: PriorConstraint | None) -> tuple[str, ...]:
    """Return warnings about the prior's resolution and accuracy."""
    if constraint is None:
        return ()
    if not constraint.fine:
        return (_NO_ACCURACY,) if constraint.accuracy is None else ()
    return (_CORRECTED.format(accuracy=constraint.accuracy) if constraint.accuracy else _FINE,)


def _no_effect(option: str, reason: str) -> UsageError:
    return UsageError(f"{option} has no effect: {reason}", f"leave out {option}")


def _without_prior(scene: Scene, bundle: Bundle) -> Iterator[str]:
    """Warn if the prior does not cover the scene."""
    if bundle.contract.base == PRIOR or over_ground(scene, bundle):
        share = float(scene.statistics(PRIOR)["voids"])
        if share > _WITHOUT_PRIOR:
            yield f"the prior lacks {share:.0%} of the image; there the result stays empty"


def spare_clean(scene: Scene, bundle: Bundle) -> tuple[Bundle, tuple[str, ...]]:
    """Return the bundle with the shrinkage for the scene's base, and a note if it is stronger."""
    contract = bundle.contract
    clean, base, usual = contract.clean_input, contract.base, contract.shrink
    if clean is None or base is None or not usual:
        return bundle, ()
    value = _smoothness(scene, base)
    shrink = clean.threshold(usual, value)
    if shrink <= usual:
        return bundle, ()
    card = bundle.card.model_copy(
        update={"contract": contract.model_copy(update={"shrink": shrink})}
    )
    return replace(bundle, card=card), (
        f"the {base} looks as accurate as one from lidar (smoothness {value:.2f}, stereo from "
        f"{clean.high:g}): heights change only by what exceeds {shrink:.2g} predicted standard "
        f"deviations, instead of {usual:g}",
    )


def _smoothness(scene: Scene, base: str) -> float | None:
    """Return the smoothness of a sample of the base."""
    windows = (window for row in sample_windows(scene.shape, _SAMPLE) for window in row)
    return smoothness(scene.read(window, [base])[0] for window in windows)


def _clean(scene: Scene, bundle: Bundle, targets: list[str], any_input: bool) -> Iterator[str]:
    """Refuse a DSM too clean for a bundle if the surface is wanted; warn otherwise."""
    least, base = bundle.card.clean_below, bundle.contract.base
    if least is None or base is None:
        return
    name = bundle.card.name
    value = _smoothness(scene, base)
    if value is not None and value < least:
        what = f"the {base} looks like one from lidar or a drone (smoothness {value:.2f}, stereo "
        what += f"from {least:g}), and bundle '{name}' is made for raw stereo DSMs"
        if base in targets and not any_input:
            raise DataError(
                f"{scene.name}: {what}: it would flatten roofs and crowns",
                "keep the DSM, predict only the bare earth with --target dtm, or add --any-input",
            )
        yield f"{what}: roofs and crowns of such a DSM lose height"
    elif not any(image in scene.layers for image in PANCHROMATIC):
        yield (
            f"bundle '{name}' is made for raw stereo DSMs; in one from lidar, a drone or careful "
            "editing, roofs and crowns lose height"
        )


def _unlike(scene: Scene, bundle: Bundle) -> Iterator[str]:
    """Warn about layers whose values differ from those of the training scenes."""
    for entry in bundle.contract.layers:
        if entry.name not in scene.layers:
            continue
        if entry.grain is not None:
            yield from _grain(scene, bundle, entry.name, *entry.grain)
        if entry.normalise != "bundle":
            continue
        statistics = scene.statistics(entry.name)
        if entry.kind in (Kind.MASK, Kind.HEIGHT) or not statistics["measured"]:
            continue
        shift = (statistics["mean"] - entry.offset) / entry.scale
        ratio = statistics["std"] / entry.scale
        if abs(shift) > _SHIFT or not 1 / _RATIO < ratio < _RATIO:
            yield (
                f"{entry.name} is unlike the training images of bundle '{bundle.card.name}' (mean "
                f"{statistics['mean']:.4g}, standard deviation {statistics['std']:.4g}; training "
                f"{entry.offset:.4g} and {entry.scale:.4g}): treat the result as unreliable"
            )


def _grain(scene: Scene, bundle: Bundle, name: str, low: float, high: float) -> Iterator[str]:
    """Warn if an image is constant, or much smoother or rougher than the training images."""
    grain = scene.grain(name)
    if grain is None:
        yield f"{name} is the same everywhere: it holds no information on heights"
    elif not low / _GRAIN <= grain <= high * _GRAIN:
        what = "rougher" if grain > high else "smoother"
        yield (
            f"{name} is {what} than the training images of bundle '{bundle.card.name}' (neighbours "
            f"differ by {grain:.3f} standard deviations; training {low:.3f} to {high:.3f}): treat "
            "the result as unreliable"
        )

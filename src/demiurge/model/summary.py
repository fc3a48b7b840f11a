"""A bundle's card in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demiurge.model.bundle import Card
    from demiurge.model.contract import Contract


def summary(card: Card) -> list[tuple[str, str]]:
    """Return what a card says, as pairs of heading and text."""
    contract, metrics = card.contract, card.metrics
    names = [f"{e.name} (optional)" if e.optional else e.name for e in contract.layers]
    unit = "relative" if contract.relative else "metres"
    rows = [
        ("name", card.name),
        ("about", card.about),
        ("task", card.task),
        ("sees", ", ".join(names)),
        ("corrects", _base(contract)),
        ("predicts", f"{', '.join(contract.targets)} in {unit}"),
        ("uncertainty", "yes" if contract.uncertainty else "no"),
        ("pixel size", f"{card.pixel_sizes.low:g} to {card.pixel_sizes.high:g} m"),
        ("heights above", str(card.vertical)),
        ("window", f"{card.window.size} px, overlap {card.window.overlap:.0%}"),
        ("runs in", card.runtime_precision),
    ]
    if "mae" in metrics:
        text = f"MAE {metrics['mae']:.3g} m, RMSE {metrics['rmse']:.3g} m"
        rows.append(("validation", f"{text}; its input {metrics['input_mae']:.3g} m MAE"))
    for target, found in metrics.get("by_target", {}).items():
        start = "its input" if target == "dsm" else "the opening it corrects"
        rows.append(
            (f"  {target}", f"MAE {found['mae']:.3g} m; {start} {found['start_mae']:.3g} m")
        )
    without = metrics.get(f"without_{contract.base}")
    if without:
        text = (
            f"MAE {without['mae']:.3g} m of relative heights; {without['input_mae']:.3g} m if flat"
        )
        rows.append((f"  without {contract.base}", text))
    for name, p in card.precision.items():
        text = f"off f32 by {p.mean:.2g} m (mean), {p.p99:.2g} m (99 %), {p.maximum:.2g} m (most)"
        rows.append((name, text))
    scenes = [str(s.get("name", "?")) for s in card.provenance.get("scenes", [])]
    first = ", ".join(scenes[:6]) + (", …" if len(scenes) > 6 else "")
    rows.append(("trained on", f"{len(scenes)} scenes: {first}" if scenes else "unknown"))
    if card.provenance.get("credits"):
        rows.append(("owed to", "; ".join(card.provenance["credits"])))
    rows.append(
        (
            "made",
            f"{card.provenance.get('created', '')} by demiurge "
            f"{card.provenance.get('demiurge', '?')}",
        )
    )
    return rows


def _base(contract: Contract) -> str:
    if contract.base is None:
        return "nothing: it predicts heights outright"
    if contract.base in contract.required:
        return contract.base
    return f"{contract.base}; without it heights are relative"

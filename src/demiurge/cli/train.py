"""Command ``train``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from demiurge.cli.build import command
from demiurge.console import echo, table
from demiurge.errors import UsageError
from demiurge.training.options import TrainOptions

#: Options that the command translates into other keywords.
_TRANSLATED = ("encoder", "folds", "stripes", "no_log")


@command
def train(options: TrainOptions) -> None:
    """Train a network on prepared scenes and write a bundle."""
    from demiurge.training.fit import train as train_bundle

    output = Path(options.output)
    keywords = options.subset(TrainOptions)
    for name in _TRANSLATED:
        del keywords[name]
    if options.encoder is not None:
        keywords["changes"] = [
            *keywords["changes"],
            *[f"network.encoder={options.encoder}", "network.pretrained=true"],
        ]
    if options.plan is not None and (options.folds is not None or keywords["changes"]):
        raise UsageError("--plan has its own places and settings", "edit the plan, or leave it out")
    log = options.log or output.with_name(f"{output.name}.log")
    keywords["log"] = None if options.no_log else log
    if options.folds is not None:
        axis = "x" if options.stripes == "vertical" else "y"
        keywords["changes"] = [*keywords["changes"], f"split.axis={axis}"]
        _cross_validate(options.folds, keywords, options.quiet)
        return
    bundle = train_bundle(**keywords)
    if options.quiet:
        return
    metrics = bundle.card.metrics
    echo(f"{output}: {bundle.card.task}, {', '.join(bundle.contract.names)}")
    echo(
        f"  validation: MAE {metrics['mae']:.3g} m (input {metrics['input_mae']:.3g} m), "
        f"RMSE {metrics['rmse']:.3g} m"
    )


def _cross_validate(folds: int, keywords: dict[str, Any], quiet: bool) -> None:
    from demiurge.training.folds import pooled, train_folds

    del keywords["plan"]
    results = train_folds(folds=folds, **keywords)
    if quiet:
        return
    table(
        ("tested by", "MAE", "RMSE", "input MAE", "pixels"),
        [
            (f.bundle, f"{f.mae:.3f} m", f"{f.rmse:.3f} m", f"{f.input_mae:.3f} m", f.pixels)
            for f in [*results, pooled(results)]
        ],
    )

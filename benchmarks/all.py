"""Run every benchmark and collect the claims in benchmarks/results/."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SCRIPTS = (
    "startup",
    "loader",
    "repeatable",
    "engine",
    "research",
    "seams",
    "evaluation",
    "simulation",
    "training",
    "planning",
    "gpu",
    "refine",
    "inputs",
    "generate",
    "large_tile",
    "image_alone",
    "image_recipes",
    "image_halves",
    "image_transfer",
    "ablation",
    "finetune",
    "transfer",
    "demo",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = ["--quick"] if parser.parse_args().quick else []
    failed, claims = [], []
    for name in SCRIPTS:
        print(f"\n{name}", flush=True)
        out = HERE / "results" / f"{name}.json"
        command = [sys.executable, str(HERE / f"{name}.py"), "--json", str(out), *quick]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
        else:
            claims += json.loads(out.read_text(encoding="utf-8"))
    missed = [c for c in claims if c["holds"] is False]
    print(f"\n{len(claims)} figures, {len(missed)} goals missed")
    for claim in missed:
        print(f"  missed: {claim['claim']}: {claim['value']:.4g}, goal {claim['goal']}")
    if failed:
        sys.exit(f"did not run: {', '.join(failed)}")


if __name__ == "__main__":
    main()

"""Strict models, and YAML files read into them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from demiurge.errors import ConfigError, ResourceError


class Strict(BaseModel):
    """A frozen model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def first_fault(error: ValidationError) -> str:
    """Return pydantic's first complaint as ``key: what``."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "is not a known key"
    return f"{key}: {message}" if key else message


#: libyaml's loader, many times faster, where PyYAML was built with it.
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises
    ------
    ResourceError, ConfigError
        If the file is missing, or holds no mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _SafeLoader)
    except FileNotFoundError:
        raise ResourceError(f"{path}: there is no such {what}", "check the path") from None
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = f" at line {line + 1}" if line is not None else ""
        raise ConfigError(f"{path}: is not valid YAML{where}", "mend it or make it anew") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds no keys", f"see the documentation of a {what}")
    return content

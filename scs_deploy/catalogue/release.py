"""What a release pins: ``releases/<release>.yml``."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scs_deploy.documents.yaml_data import Loader
from scs_deploy.errors import Finding, InputError

FOLDER = Path(__file__).parent / "releases"


class Frozen(BaseModel):
    """Read from a file, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Release(Frozen):
    """One ``<release>.yml``: where packages come from and which upstream series they must be."""

    format: Literal[1]
    name: str
    suite: str = Field(description="Debian suite of all images and nodes")
    suites: dict[str, str] = Field({}, description="Image name -> suite, where it differs")
    mirror: str = Field(description="Debian mirror, unless the region or the host names another")
    security: bool = Field(True, description="Also <suite>-updates, and <suite>-security from <mirror>-security")
    series: dict[str, str] = Field({}, description="Package -> upstream version prefix that an image must contain")


def release_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yml")))


@functools.cache
def load_release(name: str) -> Release:
    """Read ``<name>.yml``. Raises InputError that lists the known releases when there is none of that name."""
    if name not in release_names():
        raise InputError(Finding(f"unknown release {name}", fix=f"use one of {', '.join(release_names())}"))
    return load_model(FOLDER / f"{name}.yml", Release)


Model = TypeVar("Model", bound=BaseModel)


def load_model(path: Path, model: type[Model]) -> Model:
    """Read a file as a model. Raises ``InputError`` that names it."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)  # noqa: S506 - a subclass of the safe loader
        return model.model_validate(data)
    except yaml.YAMLError as error:
        raise InputError(Finding("not valid YAML", file=str(path), why=str(error))) from error
    except ValidationError as error:
        raise InputError(
            [
                Finding(found["msg"], file=str(path), path=".".join(str(part) for part in found["loc"]))
                for found in error.errors()
            ]
        ) from error

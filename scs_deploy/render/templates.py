"""The texts of all roles, read once: templates, programs and reconcilers; rendering afterwards touches at most its own cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
from jinja2.bccache import Bucket

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.documents.config_formats import literal, url
from scs_deploy.errors import Finding, InputError
from scs_deploy.machine.files import DAMAGED
from scs_deploy.secrets.placeholders import Reference

FOLDERS = ("templates", "programs", "resources")

_STRING = "string:"
"""Begins the name under which Jinja2 loads a string of service.yml; the string follows. No service is called so."""


class _Compiled(jinja2.FileSystemBytecodeCache):
    """What templates were compiled to, kept between runs; where it cannot be read or written, they are compiled anew."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self._compiler = f"{version('jinja2')}\n{Path(__file__).read_text(encoding='utf-8')}"
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def get_source_checksum(self, source: str) -> str:
        """Also of what compiles it, Jinja2 and how this module sets it up: what another version of them made does not count."""
        return super().get_source_checksum(f"{self._compiler}\n{source}")

    def load_bytecode(self, bucket: Bucket) -> None:
        try:
            super().load_bytecode(bucket)
        except DAMAGED:
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            super().dump_bytecode(bucket)


class TemplateSet:
    """Renders ``<service>/<folder>/<file>`` and strings of service.yml with one strict Jinja2 environment."""

    def __init__(self, texts: Mapping[str, str], origins: Mapping[str, Path], cache: Path | None = None) -> None:
        self.texts, self._origins = texts, origins
        self._environment = jinja2.Environment(
            loader=jinja2.FunctionLoader(self._source),
            undefined=jinja2.StrictUndefined,
            bytecode_cache=_Compiled(cache) if cache else None,
            autoescape=False,  # noqa: S701 - configuration files, not HTML
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        filters = {"sha256": _sha256, "url": _url, "literal": literal}
        self._environment.filters |= {name: _when_rendered(one) for name, one in filters.items()}
        self._strings: dict[str, jinja2.Template] = {}
        self._expressions: dict[str, Callable[..., Any]] = {}
        self._used: dict[str, frozenset[str] | None] = {}

    def _source(self, name: str) -> tuple[str, str, Callable[[], bool]] | None:
        """What Jinja2 loads, with the path that its tracebacks then name; a string is its own name, so that it is kept compiled too."""
        if name.startswith(_STRING):
            return name.removeprefix(_STRING), "<template>", lambda: True
        return (self.texts[name], str(self._origins.get(name, name)), lambda: True) if name in self.texts else None

    @classmethod
    def load(cls, catalogue: Catalogue, cache: Path | None = None) -> TemplateSet:
        """Read the texts of every service's role folder; ``cache``: a private folder for what Jinja2 compiles them to."""
        texts: dict[str, str] = {}
        origins: dict[str, Path] = {}
        for service in catalogue.services:
            for folder in FOLDERS:
                for path in sorted((catalogue.folder(service) / folder).rglob("*")):
                    if path.is_file() and "__pycache__" not in path.parts:
                        name = f"{service}/{path.relative_to(catalogue.folder(service))}"
                        texts[name], origins[name] = path.read_text(encoding="utf-8"), path
        return cls(texts, origins, cache)

    def file(self, service: str, name: str, context: Mapping[str, Any], folder: str = "templates") -> str:
        """Render a file of a role; raises ``InputError`` with the template's file and line."""
        full = f"{service}/{folder}/{name}"
        if full not in self.texts:
            raise InputError(
                f"service {service} has no {folder}/{name}", fix=f"add the file, or correct roles/{service}/service.yml"
            )
        try:
            return self._environment.get_template(full).render(context)
        except jinja2.TemplateSyntaxError as error:
            raise InputError(
                self._finding(error.filename or full, str(error.message), error.lineno, context)
            ) from error
        except (jinja2.TemplateError, TypeError, KeyError, ValueError, AttributeError) as error:
            file, line = self._position(error, full)
            raise InputError(self._finding(file, f"{type(error).__name__}: {error}", line, context)) from error

    def uses(self, service: str, name: str, folder: str = "templates") -> frozenset[str] | None:
        """Return the names of the context that a file and those it imports use; ``None`` if that cannot be told."""
        return self._uses(f"{service}/{folder}/{name}", ())

    def _uses(self, full: str, above: tuple[str, ...]) -> frozenset[str] | None:
        if full not in self._used:
            try:
                tree = self._environment.parse(self.texts[full])
            except (jinja2.TemplateSyntaxError, KeyError):
                return None  # rendering it tells what is wrong
            names = [frozenset(jinja2.meta.find_undeclared_variables(tree))]
            for other in jinja2.meta.find_referenced_templates(tree):
                found = self._uses(other, (*above, full)) if other and other not in above else None
                if found is None:  # a name that is only known when it is rendered, or a circle
                    return self._used.setdefault(full, None)
                names.append(found)
            self._used[full] = frozenset().union(*names)
        return self._used[full]

    def string(self, service: str, text: str, context: Mapping[str, Any]) -> str:
        """Render a string of service.yml."""
        if "{{" not in text and "{%" not in text:
            return text
        try:
            if text not in self._strings:
                self._strings[text] = self._environment.get_template(f"{_STRING}{text}")
            return self._strings[text].render(context)
        except (jinja2.TemplateError, TypeError, KeyError, ValueError, AttributeError) as error:
            raise InputError(
                Finding(
                    f"{type(error).__name__}: {error}",
                    why=f"while rendering {text!r}",
                    file=f"roles/{service}/service.yml",
                )
            ) from error

    def value(self, service: str, expression: str, context: Mapping[str, Any]) -> Any:
        """Evaluate an expression of service.yml, such as the list of ``each``."""
        try:
            found = self._expression(expression)(**context)
            return str(found) if isinstance(found, jinja2.Undefined) else found  # which raises, as any use of it would
        except (jinja2.TemplateError, TypeError, KeyError, ValueError, AttributeError) as error:
            raise InputError(
                Finding(
                    f"{type(error).__name__}: {error}",
                    why=f"while evaluating {expression!r}",
                    file=f"roles/{service}/service.yml",
                )
            ) from error

    def _expression(self, text: str) -> Callable[..., Any]:
        if text not in self._expressions:
            self._expressions[text] = self._environment.compile_expression(text, undefined_to_none=False)
        return self._expressions[text]

    def _position(self, error: BaseException, full: str) -> tuple[str, int]:
        """Return file and line of the template that raised: Jinja2 puts frames of templates into the traceback."""
        files = {str(origin) for origin in self._origins.values()}
        found, traceback = (str(self._origins.get(full, full)), 0), error.__traceback__
        while traceback:
            name = traceback.tb_frame.f_code.co_filename
            if name in files:
                found = (name, traceback.tb_lineno)
            traceback = traceback.tb_next
        return found

    def _finding(self, file: str, what: str, line: int, context: Mapping[str, Any]) -> Finding:
        return Finding(
            what,
            why=f"while rendering it for {context.get('instance', '?')} on {getattr(context.get('node'), 'name', '?')}",
            file=file,
            line=line,
        )


def _when_rendered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a filter that Jinja2 does not apply to constants when it compiles: what is compiled holds nothing of our filters."""

    @jinja2.pass_context
    def called(_context: object, *given: Any, **named: Any) -> Any:
        return function(*given, **named)

    return called


def _url(text: str) -> str:
    """Filter: a part of a URL, such as the password before the host; a secret's value is spelled when it enters."""
    return text.derived("url") if isinstance(text, Reference) else url(text)


def _sha256(text: str) -> str:
    """Filter: hexadecimal digest of a text, which stands for what would grow with the region."""
    return hashlib.sha256(text.encode()).hexdigest()

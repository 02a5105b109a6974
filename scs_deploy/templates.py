"""The texts of all roles, read once: templates, reconcilers and hooks; rendering afterwards touches no disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.errors import Finding, InputError
from scs_deploy.formats import literal, url
from scs_deploy.references import Reference

FOLDERS = ("templates", "resources", "hooks")


class TemplateSet:
    """Renders ``<service>/<folder>/<file>`` and strings of service.yml with one strict Jinja2 environment."""

    def __init__(self, texts: Mapping[str, str], origins: Mapping[str, Path]) -> None:
        self.texts, self._origins = texts, origins
        self._environment = jinja2.Environment(
            loader=jinja2.FunctionLoader(self._source),
            undefined=jinja2.StrictUndefined,
            autoescape=False,  # noqa: S701 - configuration files, not HTML
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        self._environment.filters |= {"sha256": _sha256, "url": _url, "literal": literal}
        self._strings: dict[str, jinja2.Template] = {}
        self._used: dict[str, frozenset[str] | None] = {}

    def _source(self, name: str) -> tuple[str, str, Callable[[], bool]] | None:
        """What Jinja2 loads, with the path that its tracebacks then name."""
        return (self.texts[name], str(self._origins.get(name, name)), lambda: True) if name in self.texts else None

    @classmethod
    def load(cls, catalogue: Catalogue) -> TemplateSet:
        """Read the texts of every service's role folder."""
        texts: dict[str, str] = {}
        origins: dict[str, Path] = {}
        for service in catalogue.services:
            for folder in FOLDERS:
                for path in sorted((catalogue.folder(service) / folder).rglob("*")):
                    if path.is_file() and "__pycache__" not in path.parts:
                        name = f"{service}/{path.relative_to(catalogue.folder(service))}"
                        texts[name], origins[name] = path.read_text(encoding="utf-8"), path
        return cls(texts, origins)

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
            template = self._strings.get(text) or self._strings.setdefault(text, self._environment.from_string(text))
            return template.render(context)
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
            found = self._environment.compile_expression(expression, undefined_to_none=False)(**context)
            return str(found) if isinstance(found, jinja2.Undefined) else found  # which raises, as any use of it would
        except (jinja2.TemplateError, TypeError, KeyError, ValueError, AttributeError) as error:
            raise InputError(
                Finding(
                    f"{type(error).__name__}: {error}",
                    why=f"while evaluating {expression!r}",
                    file=f"roles/{service}/service.yml",
                )
            ) from error

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


def _url(text: str) -> str:
    """Filter: a part of a URL, such as the password before the host; a secret's value is spelled when it enters."""
    return text.derived("url") if isinstance(text, Reference) else url(text)


def _sha256(text: str) -> str:
    """Filter: hexadecimal digest of a text, which stands for what would grow with the region."""
    return hashlib.sha256(text.encode()).hexdigest()

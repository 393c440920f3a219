"""The files of an export: their objects, each with where it stands. Pages and nested lists are opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from arke.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arke.catalog.aam.report import Report

MAX_FILE_BYTES: Final = 256 * 1024 * 1024
MAX_FILES: Final = 100_000
MAX_DEPTH: Final = 32
"""Lists, pages and folders inside one another."""
_BLANK: Final = " \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"


class Found(NamedTuple):
    """One JSON object of the API, and the file it stands in, as it is named in remarks."""

    fields: dict[str, Any]
    file: str


def read_export(paths: Sequence[Path], report: Report) -> list[Found]:
    """All objects of files, and of the files in folders, in a fixed order. What is no JSON in a folder is noted; a
    file that was named or whose name says JSON must be. Raises CatalogError with all that is wrong.
    """
    problems: list[str] = []
    found: list[Found] = []
    for path, name, must in _files(paths, problems):
        try:
            found += _read(path, name)
        except CatalogError as problem:
            if must:
                problems += problem.problems
            else:
                report.add("file", name, "", "this is no JSON: left out")
    if problems:
        raise CatalogError(problems)
    return found


def files_read(paths: Sequence[Path]) -> list[Path]:
    """The files that `read_export` opens."""
    return [path for path, _, _ in _files(paths, [])]


def _files(paths: Sequence[Path], problems: list[str]) -> Iterator[tuple[Path, str, bool]]:
    """Each file once, the name it goes by, and whether it has to be JSON."""
    seen: set[Path] = set()
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.is_file())
            listed = [(one, str(one.relative_to(path)), one.suffix.lower() == ".json") for one in inside]
            listed = [one for one in listed if not any(part.startswith(".") for part in Path(one[1]).parts)]
            if not listed:
                problems.append(f"{path}: there are no files in this folder")
        elif path.is_file():
            listed = [(path, path.name, True)]
        else:
            problems.append(f"{path}: there is no such file or folder")
            continue
        if len(listed) > MAX_FILES:
            problems.append(f"{path}: more than {MAX_FILES:,} files: name the ones that the API answered")
            continue
        for one, name, must in listed:
            real = one.resolve()
            if real not in seen:
                seen.add(real)
                yield one, name, must


def _read(path: Path, name: str) -> list[Found]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CatalogError([f"{name}: cannot be read: {error.strerror}"]) from None
    if len(data) > MAX_FILE_BYTES:
        bound = MAX_FILE_BYTES // 1024 // 1024
        raise CatalogError([f"{name}: larger than {bound} MiB: ask the API for pages (page, pageSize)"])
    try:
        text = data.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CatalogError([f"{name}:{line}: this is not UTF-8 text"]) from None
    found: list[Found] = []
    for value in _values(text, name):
        _open(value, name, found, MAX_DEPTH)
    return found


def _values(text: str, name: str) -> Iterator[Any]:
    """The JSON values of a file: one, or several behind one another, such as one a line."""
    decoder = json.JSONDecoder()
    at = 0
    while True:
        while at < len(text) and text[at] in _BLANK:
            at += 1
        if at == len(text):
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise CatalogError([f"{name}:{error.lineno}:{error.colno}: no JSON: {error.msg}"]) from None
        except (RecursionError, ValueError):
            line = text.count("\n", 0, at) + 1
            raise CatalogError(
                [f"{name}:{line}: JSON that is nested too deeply, or a number too long"]
            ) from None
        yield value


def _open(value: Any, name: str, found: list[Found], depth: int) -> None:
    """The objects of a value: of a list, of a page (`{"list": [...]}`), of an object of such lists, of a folder."""
    if not depth:
        raise CatalogError([f"{name}: more than {MAX_DEPTH} lists inside one another"])
    if isinstance(value, list):
        for item in value:
            _open(item, name, found, depth - 1)
        return
    if not isinstance(value, dict):
        found.append(Found({"": value}, name))
        return
    lists = {key: inner for key, inner in value.items() if isinstance(inner, list)}
    if "list" in lists or (lists and all(isinstance(inner, list | dict) for inner in value.values())):
        for inner in [lists["list"]] if "list" in lists else value.values():
            _open(inner, name, found, depth - 1)
        return
    found.append(Found({key: inner for key, inner in value.items() if key != "subFolders"}, name))
    if isinstance(value.get("subFolders"), list):
        _open(value["subFolders"], name, found, depth - 1)

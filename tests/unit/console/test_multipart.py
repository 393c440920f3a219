"""A form with a file, however it is cut into pieces on its way, and what is no such form."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arke.console.multipart import MAX_FIELD_BYTES, FormWithFile
from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MEDIA = "multipart/form-data; boundary=----xYz"


def body(
    file: bytes, *, name: str = "a.csv", fields: dict[str, str] | None = None, end: bytes = b"--"
) -> bytes:
    parts = [
        f'------xYz\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in (fields or {}).items()
    ]
    head = f'------xYz\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    return b"".join(
        [*parts, head.encode(), b"Content-Type: text/csv\r\n\r\n", file, b"\r\n------xYz", end, b"\r\n"]
    )


async def pieces(sent: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(sent), size):
        yield sent[at : at + size]


@given(
    st.binary(max_size=300).filter(lambda file: b"\r\n------xYz" not in file),
    st.dictionaries(st.sampled_from("abc"), st.text("xyé\n- ", max_size=20), max_size=3),
    st.integers(1, 80),
)
def test_the_fields_and_the_file_are_what_was_sent(file: bytes, fields: dict[str, str], size: int) -> None:
    async def check() -> None:
        form = FormWithFile(pieces(body(file, fields=fields), size), MEDIA)
        await form.read_fields()
        assert form.fields == {name: [value] for name, value in fields.items()}
        assert form.name == "a.csv"
        assert b"".join([part async for part in form.file()]) == file

    asyncio.run(check())


async def test_a_file_that_looks_like_a_boundary_is_a_file() -> None:
    file = b"--\r\n------xY\r\n-----xYz\r\n--xYz--\r\n" * 3
    form = FormWithFile(pieces(body(file), 7), MEDIA)
    await form.read_fields()
    assert b"".join([part async for part in form.file()]) == file


async def test_an_upload_that_breaks_off_is_no_file() -> None:
    form = FormWithFile(pieces(body(b"x" * 500)[:400], 16), MEDIA)
    await form.read_fields()
    with pytest.raises(InvalidInput, match="broke off"):
        [part async for part in form.file()]


async def test_a_form_without_its_file_has_no_name() -> None:
    sent = b'------xYz\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n------xYz--\r\n'
    form = FormWithFile(pieces(sent, 5), MEDIA)
    await form.read_fields()
    assert (form.name, form.fields) == ("", {"a": ["b"]})
    assert [part async for part in form.file()] == []


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"nonsense",
        b"x" * 100_000,
        b"------xYz",
        b"------xYzzz\r\n\r\n",
        b"------xYz\r\n\r\n\r\n",
        b'------xYz\r\nContent-Disposition: form-data; nome="a"\r\n\r\nb\r\n------xYz--\r\n',
        b'------xYz\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n------xYz--\r\n',
        b'------xYz\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"y" * (MAX_FIELD_BYTES + 70_000),
        b'------xYz\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 100,
    ],
)
async def test_what_is_no_form_is_refused(sent: bytes) -> None:
    form = FormWithFile(pieces(sent, 4_096), MEDIA)
    with pytest.raises(InvalidInput):
        await form.read_fields()


@pytest.mark.parametrize("media", ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary="])
def test_a_form_says_where_its_parts_end(media: str) -> None:
    with pytest.raises(InvalidInput):
        FormWithFile(pieces(b"", 1), media)

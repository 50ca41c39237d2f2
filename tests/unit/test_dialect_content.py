"""A payload's headers, and the values of HTTP."""

from __future__ import annotations

import pytest

from bentotask.codec import Payload
from bentotask.dialect import Request, Response, payload_from, payload_headers


def lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize(
    "name",
    [
        "out.bin",
        "with space.txt",
        'quo"te.txt',
        "semi;colon.txt",
        "per%20cent?.txt",
        "naïve résumé.pdf",
        "日本語.png",
        "it's (1) *.txt",
        "a" * 200,
    ],
)
def test_a_file_keeps_its_name(name: str) -> None:
    """Any name comes through, in headers that are plain ASCII."""
    payload = Payload(body=b"x", media_type="application/octet-stream", filename=name)
    headers = payload_headers(payload)
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    assert payload_from(Response(200, lower(headers), b"x")) == payload


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("attachment; filename=plain.txt", "plain.txt"),
        ("attachment; filename=plain.txt; size=3", "plain.txt"),
        ('inline; FILENAME="a.txt"', "a.txt"),
        ("attachment; filename=\"x.txt\"; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
        ("attachment; filename*=UTF-8''%e2%82%ac.txt; filename=\"x.txt\"", "€.txt"),
        ("attachment; filename*=iso-8859-1'en'%A3.txt", "£.txt"),
        ("attachment; filename=\"x.txt\"; filename*=nonsense''%A3.txt", "x.txt"),
        ("attachment; filename=\"x.txt\"; filename*=UTF-8''%A3.txt", "x.txt"),
        ("attachment", None),
        ("", None),
        ('attachment; filename=""', None),
        ('attachment; filename=".."', None),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\temp\\\\a.txt"', "a.txt"),
        ("attachment; filename*=UTF-8''..%2F..%2Fevil.sh", "evil.sh"),
        ("attachment; filename*=UTF-8''a%00b%0Ac.txt", "abc.txt"),
    ],
)
def test_a_name_is_read_as_the_standard_has_it(disposition: str, name: str | None) -> None:
    """RFC 6266 and 5987, and nobody chooses a directory on the reader's side."""
    response = Response(200, {"content-disposition": disposition}, b"")
    assert payload_from(response).filename == name


def test_a_server_sends_no_directories() -> None:
    """A task's temporary path is nobody's business."""
    payload = Payload(body=b"", media_type="image/png", filename="/tmp/secret/a.png")  # noqa: S108
    assert payload_headers(payload)["Content-Disposition"] == 'attachment; filename="a.png"'


def test_the_type_is_sent_as_it_is() -> None:
    """Only the codec knows the charset of a text, so nothing is added here."""
    for media_type in ("text/plain; charset=utf-8", "text/csv", "application/json"):
        payload = Payload(body=b"", media_type=media_type)
        assert payload_headers(payload) == {"Content-Type": media_type}


def test_a_task_may_set_headers_but_not_frame_the_message() -> None:
    """Its own headers travel, and win over ours; those of the connection are the server's."""
    headers = {"x-a": "b", "content-type": "image/webp", "Content-Length": "0", "Connection": "x"}
    payload = Payload(body=b"", media_type="image/png", headers=headers)
    assert payload_headers(payload) == {"X-A": "b", "Content-Type": "image/webp"}


def test_a_header_cannot_begin_another() -> None:
    """Line breaks and letters that WSGI cannot carry are replaced, never passed on."""
    payload = Payload(body=b"", media_type="image/png", headers={"X-A": "a\r\nSet-Cookie: b€"})
    assert payload_headers(payload)["X-A"] == "a  Set-Cookie: b?"


def test_a_payload_knows_its_type_and_status() -> None:
    """The media type keeps its parameters, and has a default; the status is kept."""
    headers = {"content-type": "Text/Plain; charset=utf-8"}
    assert payload_from(Response(201, headers, b"q")) == Payload(
        body=b"q", media_type="Text/Plain; charset=utf-8", status=201
    )
    assert payload_from(Response(200)).media_type == "application/octet-stream"
    assert Response(200, headers).media_type == "text/plain"


def test_a_response_reads_as_json() -> None:
    """A body is JSON or a ValueError; success is any 2xx."""
    assert Response(200, {}, b'{"a": 1}').json() == {"a": 1}
    with pytest.raises(ValueError, match="Expecting value"):
        Response(200, {}, b"<html>").json()
    assert [Response(status).ok for status in (200, 201, 299, 300, 199, 500)] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


def test_a_request_sends_nothing_unless_told() -> None:
    """A request is a method and a path; the rest is said when there is something to say."""
    request = Request("GET", "/readyz")
    assert (request.query, request.headers, request.body, request.hold) == ({}, {}, None, 0)

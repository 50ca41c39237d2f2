"""HTTP as values: what the server and both clients say to each other, without any I/O.

========================  =====================================================================
`bentotask.dialect.http`      :class:`Request`, :class:`Response`, and a :class:`Flow` of them
`bentotask.dialect.status`    the status words of every client; a record ⇄ its status body
`bentotask.dialect.failure`   an error ⇄ its body, headers and status
`bentotask.dialect.content`   a payload ⇄ its headers
========================  =====================================================================
"""

from bentotask.dialect.content import payload_from, payload_headers
from bentotask.dialect.failure import error_body, error_from, error_headers
from bentotask.dialect.http import Flow, Pause, Request, Response
from bentotask.dialect.status import (
    cancelled_body,
    parse_status,
    record_from,
    status_body,
    status_words,
    submitted,
)

__all__ = [
    "Flow",
    "Pause",
    "Request",
    "Response",
    "cancelled_body",
    "error_body",
    "error_from",
    "error_headers",
    "parse_status",
    "payload_from",
    "payload_headers",
    "record_from",
    "status_body",
    "status_words",
    "submitted",
]

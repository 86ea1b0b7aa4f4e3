"""The process boundary: messages, errors, what a child inherits."""

from __future__ import annotations

import asyncio
import fcntl
import math
import resource
import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from ocr_inference.engine import child, host, wire
from ocr_inference.engine.child import Handler, answer
from ocr_inference.engine.host import TUNABLES, child_environment
from ocr_inference.engine.wire import Message, WireError
from ocr_inference.errors import PublicError
from ocr_inference.pipeline.page import Block, ConfidenceSource, Line, PageText, Word

TEXT = st.text('aé\n"\0\u2028𝄞', max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def through(message: Message) -> Message | None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send(ours, message)
        return wire.receive(theirs)


@given(st.dictionaries(TEXT, JSON))
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    assert through(message) == message


def test_a_lone_surrogate_is_replaced_and_nan_is_refused() -> None:
    assert through({"text": "a\ud800b"}) == {"text": "a?b"}
    with pytest.raises(ValueError, match="JSON compliant"):
        wire.encode({"confidence": math.nan})


def test_an_absurd_length_is_refused() -> None:
    async def read() -> None:
        reader = asyncio.StreamReader()
        reader.feed_data(struct.pack("!I", 2**31))
        await wire.read(reader)

    with pytest.raises(WireError):
        asyncio.run(read())


def test_the_end_of_the_other_side_is_no_message() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(b"\0\0")
        ours.close()
        assert wire.receive(theirs) is None


def replied(handler: Handler) -> Message:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(answer({"read": handler}, {"id": 7, "op": "read"}))
        reply = wire.receive(theirs)
    assert reply is not None
    return reply


def failing(error: Exception) -> Handler:
    def fail(_call: Message) -> Message:
        raise error

    return fail


def test_a_public_error_crosses_whole() -> None:
    error = PublicError(422, "too_many_pixels", "Too large.", limit=5)
    reply = replied(failing(error))
    assert reply == {
        "id": 7,
        "error": {
            "status": 422,
            "code": "too_many_pixels",
            "message": "Too large.",
            "details": {"limit": 5},
        },
    }


def test_an_unknown_failure_says_nothing_of_the_document() -> None:
    reply = replied(failing(RuntimeError("secret text")))
    assert reply["error"]["code"] == "engine_error"
    assert "secret" not in str(reply)


def test_an_answer_that_cannot_be_sent_is_a_failure_of_that_call() -> None:
    for result in ({"confidence": math.inf}, {"page": object()}):
        assert replied(lambda _call, result=result: result)["error"]["code"] == "engine_error"


def test_a_page_crosses_with_all_its_parts() -> None:
    line = Line("a b", (0, 1, 2, 3), 0.5, words=(Word("a", (0, 1, 1, 3), 0.4),))
    page = PageText((Block("text", (0, 1, 2, 3), "a b", lines=(line,)),), ConfidenceSource.ENGINE)
    reply = replied(lambda _call: page)
    assert reply["id"] == 7
    assert TypeAdapter(PageText).validate_python(reply["result"]) == page


def test_a_child_inherits_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_glibc", lambda: (2, 35))
    given = {"OCR_S3_SECRET_KEY": "x", "CLOUDRU_S3_ACCESS_KEY": "y", "PATH": "/bin", "HOME": "/tmp"}
    kept = child_environment(given, "decode", threads=3)
    assert kept == {
        "PATH": "/bin",
        "HOME": "/tmp",
        "OMP_NUM_THREADS": "3",
        "OPENBLAS_NUM_THREADS": "3",
        "MKL_NUM_THREADS": "3",
        "GLIBC_TUNABLES": ":".join(TUNABLES["decode"]),
    }


HUGE, MMAP, TRIM = TUNABLES["engine"]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, [HUGE, MMAP, TRIM]),
        (
            {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0:glibc.pthread.rseq=0"},
            ["glibc.malloc.hugetlb=0", "glibc.pthread.rseq=0", MMAP, TRIM],
        ),
        ({"MALLOC_TRIM_THRESHOLD_": "1000"}, [HUGE, MMAP]),
        ({"MALLOC_MMAP_THRESHOLD_": "1000"}, [HUGE, TRIM]),
    ],
    ids=str,
)
def test_a_child_keeps_its_memory_for_the_next_page_unless_it_is_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, own: dict[str, str], expected: list[str]
) -> None:
    monkeypatch.setattr(host, "_glibc", lambda: (2, 35))
    assert child_environment(own, "engine", 1)["GLIBC_TUNABLES"].split(":") == expected


@pytest.mark.parametrize("glibc", [(2, 34), ()], ids=str)
def test_another_c_library_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, glibc: tuple[int, ...]
) -> None:
    monkeypatch.setattr(host, "_glibc", lambda: glibc)
    assert "GLIBC_TUNABLES" not in child_environment({}, "engine", 1)


def test_a_child_hears_on_a_socket_with_a_high_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "IDLE_S", 0.01)  # the parent is silent at first
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2048, limits[1]), limits[1]))
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(fileno=fcntl.fcntl(theirs, fcntl.F_DUPFD, 1024)) as high:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        threading.Timer(0.1, wire.send, (ours, {"id": 1})).start()
        assert child._next_call(high) == {"id": 1}

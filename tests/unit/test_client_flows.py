"""The verbs as conversations, driven by hand: no socket, no clock, no sleep."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from bentotask import errors
from bentotask.client import Backoff, _flows
from bentotask.client._endpoints import EndpointSchema
from bentotask.dialect import Flow, Pause, Request, Response
from bentotask.record import TaskStatus

T = TypeVar("T")
TASK = "4594760f580045beb8963510f50f0d8d"
ECHO = EndpointSchema(name="echo", route="/echo", input={}, output={}, is_task=True)
EVEN = Backoff(initial=1, maximum=4, factor=2, jitter=0)
BROKEN = errors.ServerUnreachable("gone")


class Conversation:
    """Answers a flow from a script, and lets time pass only where the flow lets it."""

    def __init__(self, *answers: Response | errors.TransportError, held: float = 0.0) -> None:
        self.answers = itertools.chain(answers[:-1], itertools.repeat(answers[-1]))
        self.held = held
        self.now = 0.0
        self.steps: list[Request | Pause] = []

    def clock(self) -> float:
        return self.now

    @property
    def pauses(self) -> list[float]:
        return [step.seconds for step in self.steps if isinstance(step, Pause)]

    @property
    def holds(self) -> list[float]:
        return [step.hold for step in self.steps if isinstance(step, Request)]

    def outcome(self, flow: Flow[T]) -> T:
        take: Callable[[], Request | Pause] = lambda: next(flow)  # noqa: E731 - the first step
        while True:
            try:
                step = take()
            except StopIteration as end:
                value: T = end.value
                return value
            self.steps.append(step)
            take = self.reply(flow, step)

    def reply(self, flow: Flow[Any], step: Request | Pause) -> Callable[[], Request | Pause]:
        if isinstance(step, Pause):
            self.now += step.seconds
            return lambda: flow.send(None)
        self.now += min(self.held, step.hold)
        answer = next(self.answers)
        if isinstance(answer, errors.TransportError):
            return lambda: flow.throw(answer)
        return lambda: flow.send(answer)


def said(word: str, code: int = 200, **headers: str) -> Response:
    body = {"task_id": TASK, "status": word} if code == 200 else {"error": word}
    return Response(code, headers, json.dumps(body).encode())


def test_a_question_is_asked_again_when_its_connection_breaks() -> None:
    """A GET is repeated a small number of times, with growing pauses."""
    talk = Conversation(BROKEN, errors.TransportError("reset"), said("success"))
    assert talk.outcome(_flows.status(ECHO, TASK)).status is TaskStatus.SUCCESS
    assert len(talk.pauses) == 2


def test_a_server_that_is_gone_is_told_soon() -> None:
    """The repeats are bounded, and the error is the last attempt's own."""
    talk = Conversation(BROKEN)
    with pytest.raises(errors.ServerUnreachable):
        talk.outcome(_flows.status(ECHO, TASK))
    assert sum(isinstance(step, Request) for step in talk.steps) == 1 + _flows.REPEATS
    assert talk.now < 1


def test_a_slow_server_is_asked_once() -> None:
    """After a timeout, asking again would only double the wait."""
    talk = Conversation(errors.RequestTimeout("slow"))
    with pytest.raises(errors.RequestTimeout):
        talk.outcome(_flows.status(ECHO, TASK))
    assert len(talk.steps) == 1


@pytest.mark.parametrize(
    "flow",
    [
        lambda: _flows.submit(ECHO, (), {}),
        lambda: _flows.call(ECHO, (), {}),
        lambda: _flows.retry(ECHO, TASK),
        lambda: _flows.cancel(ECHO, TASK),
    ],
)
def test_what_changes_something_is_never_repeated(flow: Callable[[], Flow[Any]]) -> None:
    """Nobody knows whether the server acted on a request whose connection broke."""
    talk = Conversation(BROKEN)
    with pytest.raises(errors.ServerUnreachable):
        talk.outcome(flow())
    assert len(talk.steps) == 1


def test_a_wait_is_held_by_the_server() -> None:
    """A server that holds the question is asked again at once, and nothing is ever paused."""
    talk = Conversation(said("pending"), said("in_progress"), said("success"), held=60)
    assert talk.outcome(_flows.wait(ECHO, TASK, None, EVEN, talk.clock)) is TaskStatus.SUCCESS
    assert (talk.holds, talk.pauses) == ([_flows.LONGEST_HOLD] * 3, [])


def test_a_wait_backs_off_where_the_server_does_not_hold() -> None:
    """A server that answers early is asked ever more rarely, up to the maximum."""
    talk = Conversation(*[said("in_progress")] * 5, said("completed"))
    assert talk.outcome(_flows.wait(ECHO, TASK, None, EVEN, talk.clock)) is TaskStatus.SUCCESS
    assert talk.pauses == [1, 2, 4, 4, 4]


def test_a_wait_ends_on_time() -> None:
    """Neither a hold nor a pause goes beyond the timeout."""
    talk = Conversation(said("in_progress"), held=60)
    with pytest.raises(errors.WaitTimeout):
        talk.outcome(_flows.wait(ECHO, TASK, 40, EVEN, talk.clock))
    assert (talk.holds, talk.now) == ([25, 15], 40)
    talk = Conversation(said("in_progress"))
    with pytest.raises(errors.WaitTimeout):
        talk.outcome(_flows.wait(ECHO, TASK, 5, EVEN, talk.clock))
    assert (talk.pauses, talk.now) == ([1, 2, 2], 5)


def test_a_wait_of_no_time_still_asks() -> None:
    """``timeout=0`` is a look: ended or not, without holding anything."""
    talk = Conversation(said("success"))
    assert talk.outcome(_flows.wait(ECHO, TASK, 0, EVEN, talk.clock)) is TaskStatus.SUCCESS
    assert talk.steps == [Request("GET", "/echo/status", {"task_id": TASK})]


def test_a_wait_comes_back_when_it_is_told_to() -> None:
    """Retry-After is obeyed, and patience begins anew with each answer."""
    away = said("broker", 503, **{"retry-after": "9"})
    talk = Conversation(*[away, away, away, said("pending")] * 3, said("failed"), held=60)
    assert talk.outcome(_flows.wait(ECHO, TASK, None, EVEN, talk.clock)) is TaskStatus.FAILURE
    assert talk.pauses == [9] * 9


def test_a_wait_gives_up_on_a_server_that_stays_away() -> None:
    """Patience is bounded: an outage ends the wait with what the server said last."""
    talk = Conversation(said("broker", 503))
    with pytest.raises(errors.Unavailable, match="broker"):
        talk.outcome(_flows.wait(ECHO, TASK, None, EVEN, talk.clock))
    assert len(talk.holds) == _flows.PATIENCE


def test_progress_survives_a_server_that_is_away_for_a_moment() -> None:
    """Neither a 503 nor a lost connection ends it, and no question is held back by the server."""
    away = said("broker", 503, **{"retry-after": "9"})
    talk = Conversation(away, *[BROKEN] * (1 + _flows.REPEATS), said("pending"), said("success"))
    assert talk.outcome(_flows.next_progress(ECHO, TASK, None, EVEN)) is None
    assert set(talk.holds) == {0}
    assert [pause for pause in talk.pauses if pause >= 1] == [9, 1, 2]


def test_progress_gives_up_on_a_server_that_stays_away() -> None:
    """The patience is that of a wait."""
    talk = Conversation(said("broker", 503))
    with pytest.raises(errors.Unavailable, match="broker"):
        talk.outcome(_flows.next_progress(ECHO, TASK, None, EVEN))
    assert len(talk.holds) == _flows.PATIENCE


def test_readiness_is_waited_for() -> None:
    """Neither a refused connection nor a 503 ends the wait; a 200 does."""
    talk = Conversation(BROKEN, said("starting", 503), said("ready"))
    talk.outcome(_flows.until_ready("http://x", 10, talk.clock))
    assert len(talk.pauses) == 2


def test_readiness_has_an_end() -> None:
    """What was wrong last is told, with the time that was given."""
    talk = Conversation(said("no broker", 503))
    with pytest.raises(errors.ServerUnreachable, match=r"http://x .* within 3 s: no broker"):
        talk.outcome(_flows.until_ready("http://x", 3, talk.clock))
    assert talk.now == pytest.approx(3)


def test_pauses_grow_within_bounds() -> None:
    """Each pause is the factor longer, never over the maximum, with its share of chance."""
    pauses = list(itertools.islice(Backoff(1, 10, factor=3, jitter=0.5).pauses(), 5))
    for pause, whole in zip(pauses, [1, 3, 9, 10, 10], strict=True):
        assert whole / 2 <= pause <= whole
    assert len(set(pauses)) == len(pauses)


@pytest.mark.parametrize("bad", [{"initial": 0}, {"factor": 0.5}, {"jitter": 2}, {"jitter": -1}])
def test_a_backoff_that_cannot_work_is_refused(bad: dict[str, float]) -> None:
    """A pause of nothing would hammer the server."""
    with pytest.raises(ValueError, match="initial > 0"):
        Backoff(**bad)


def test_a_backoff_never_overflows() -> None:
    """A wait of weeks is as steady as one of minutes."""
    assert next(itertools.islice(Backoff(factor=1e300).pauses(), 100, None)) <= 5

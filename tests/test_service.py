import threading
import time
from types import SimpleNamespace

import pytest

from ncdetect.language import say, speaking
from ncdetect.service import Broken, Busy, Judging, Late, Loading, Service, Stopping
from sentences import assert_plain_sentence


class Slow:
    """Judges a clip when it is told to, and remembers in which order they came."""

    def __init__(self):
        self.begun, self.order, self.go = threading.Semaphore(0), [], threading.Semaphore(0)

    def __call__(self, source):
        self.order.append(source)
        self.begun.release()
        assert self.go.acquire(timeout=30)
        return f"verdict on {source}"

    def wait_for(self, count):
        for _ in range(count):
            assert self.begun.acquire(timeout=30)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def slow():
    return Slow()


@pytest.fixture
def made(slow):
    services = []

    def make(**options):
        services.append(Service(lambda: slow, **options))
        assert services[-1]._loaded.wait(30)
        return services[-1]

    yield make
    slow.go.release(100)
    for service in services:
        service.stop(10)


def test_first_come_first_served_and_one_too_many_is_told_its_place(slow, made):
    service = made(threads=2, waiting=3)
    running = [service.submit(name) for name in "ab"]
    slow.wait_for(2)
    waiting = [service.submit(name) for name in "cde"]
    assert (service.running, service.queued) == (2, 3)
    for _ in range(2):  # a refusal takes no place
        with pytest.raises(Busy) as refused:
            service.submit("f")
        assert refused.value.place == 4 and refused.value.retry_after_s == 2  # 4 clips of 1 s, two at once
    assert str(refused.value) == (
        "Too many clips are waiting, and this one would be number 4 in the line: try again in 2 seconds."
    )
    slow.go.release()
    slow.wait_for(1)
    waiting.append(service.submit("f"))
    slow.go.release(9)
    found = [future.result(30) for future in running + waiting]
    assert found == [f"verdict on {name}" for name in "abcdef"]
    assert sorted(slow.order[:2]) == ["a", "b"] and slow.order[2:] == list("cdef")


def test_without_room_to_wait_only_what_is_judged_is_taken(slow, made):
    service = made(threads=1, waiting=0)
    service.submit("a")
    slow.wait_for(1)
    with pytest.raises(Busy) as refused:
        service.admit()
    assert refused.value.place == 1


def test_the_wait_told_follows_the_time_that_clips_take(slow, made):
    clock = Clock()
    service = made(threads=1, waiting=1, clock=clock, deadline_s=1e9)
    for _ in range(60):
        future = service.submit("long")
        slow.wait_for(1)
        clock.now += 10
        slow.go.release()
        future.result(30)
    held = [service.submit("a")]
    slow.wait_for(1)
    held.append(service.submit("b"))
    with pytest.raises(Busy) as refused:
        service.submit("c")
    assert refused.value.retry_after_s == 20  # two clips of 10 s each


def test_a_clip_that_waited_too_long_is_given_up_unjudged(slow, made):
    clock = Clock()
    service = made(threads=1, waiting=5, deadline_s=10, clock=clock)
    first, second = service.submit("a"), service.submit("b")
    slow.wait_for(1)
    clock.now = 11
    slow.go.release()
    assert first.result(30) == "verdict on a"
    with pytest.raises(Late):
        second.result(30)
    assert slow.order == ["a"]


def test_who_waits_in_person_is_told_in_time(slow, made):
    service = made(threads=1, waiting=5, deadline_s=0.2)
    with pytest.raises(Late):
        service.check("a")


def test_who_goes_away_leaves_the_line_at_once(slow, made):
    service = made(threads=1, waiting=2)
    service.submit("a")
    slow.wait_for(1)
    gone, stays = service.submit("b"), service.submit("c")
    gone.cancel()
    assert service.queued == 1
    last = service.submit("d")
    slow.go.release(9)
    assert (stays.result(30), last.result(30)) == ("verdict on c", "verdict on d")
    assert slow.order == ["a", "c", "d"]


def test_an_error_belongs_to_its_clip(made, slow):
    def judge(source):
        if source == "bad":
            raise ValueError("bad")
        return source

    service = made(threads=1)
    service.judge = judge
    with pytest.raises(ValueError, match="bad"):
        service.check("bad")
    assert service.check("good") == "good" and service.running == 0


def test_reasons_are_said_in_the_language_of_who_asks(made):
    service = made(threads=1)
    service.judge = lambda source: say("undecided")
    with speaking("de"):
        assert service.check("a") == "unentschieden"
        assert_plain_sentence(str(Stopping()))
        assert "Nummer 3" in str(Busy(3, 5))
    assert service.check("a") == "undecided"


def test_nothing_is_taken_before_the_model_is_there():
    gate = threading.Event()

    def load():
        gate.wait(30)
        return str.upper

    service = Service(load)
    with pytest.raises(Loading):
        service.submit("a")
    assert not service.ready
    threading.Timer(0.1, gate.set).start()
    assert service.check("a") == "A" and service.ready
    service.stop()


def test_a_model_that_cannot_be_loaded_leaves_it_not_ready(caplog):
    def load():
        raise OSError("no weights")

    service = Service(load)
    with pytest.raises(Broken):
        service.check("a")
    assert not service.ready and "no weights" in caplog.text


def test_stopping_finishes_the_line_and_takes_nothing_new(slow, made):
    service = made(threads=1, waiting=5)
    taken = [service.submit("a"), service.submit("b")]
    slow.wait_for(1)
    stopper = threading.Thread(target=service.stop)
    stopper.start()
    while service.ready:
        time.sleep(0.01)
    with pytest.raises(Stopping):
        service.submit("c")
    slow.go.release(2)
    stopper.join(30)
    assert not stopper.is_alive()
    assert [future.result(0) for future in taken] == ["verdict on a", "verdict on b"]


def test_before_the_first_clip_noise_was_decoded_and_judged():
    judged = []
    Judging(SimpleNamespace(check=judged.append))(b"clip")
    assert [source[:4] for source in judged] == [b"RIFF", b"clip"]

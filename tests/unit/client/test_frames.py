"""Calls are serialized once, cut into frames of at most 32, urgent ones first, and repeated as they were."""

import asyncio
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from earmark.client.calls import FRAME_CALLS, Place, SessionCall, frame_part
from earmark.client.outbox import Outbox
from earmark.v1 import metering_service_pb2 as pb


def message(sequence: int, comment: str = "") -> pb.SessionCall:
    call = pb.SessionCall(sequence=sequence)
    call.commit.reservation_id = f"r{sequence}"
    call.commit.comment = comment
    return call


def call(sequence: int, *, urgent: bool = False) -> SessionCall:
    return SessionCall(asyncio.get_running_loop(), sequence, frame_part(message(sequence)), inf, urgent)


def sequences(parts: list[bytes]) -> list[int]:
    return [sent.sequence for sent in pb.SessionRequest.FromString(b"".join(parts)).calls]


@given(st.lists(st.text(max_size=20_000), max_size=5))
def test_joined_parts_are_a_session_request(comments):
    calls = [message(number, comment) for number, comment in enumerate(comments)]
    frame = pb.SessionRequest.FromString(b"".join(frame_part(each) for each in calls))
    assert list(frame.calls) == calls


async def test_a_frame_has_at_most_32_calls_and_keeps_their_order():
    outbox = Outbox(1024)
    for sequence in range(70):
        outbox.put(call(sequence))
    frames = []
    while outbox.has_frame():
        frames.append(sequences(outbox.next_frame(0.0)))
    assert [len(frame) for frame in frames] == [FRAME_CALLS, FRAME_CALLS, 6]
    assert [sequence for frame in frames for sequence in frame] == list(range(70))


async def test_calls_in_flight_are_bounded_and_answers_make_room():
    outbox = Outbox(3)
    calls = [call(sequence) for sequence in range(5)]
    for each in calls:
        outbox.put(each)
    assert sequences(outbox.next_frame(0.0)) == [0, 1, 2]
    assert not outbox.has_frame()
    outbox.left_flight(calls[1])
    assert sequences(outbox.next_frame(0.0)) == [3]


async def test_a_commit_does_not_wait_behind_those_who_wait_for_credits():
    outbox = Outbox(2)
    for sequence in range(4):
        outbox.put(call(sequence))
    outbox.next_frame(0.0)
    outbox.put(call(9, urgent=True))
    assert sequences(outbox.next_frame(0.0)) == [9]


async def test_what_was_withdrawn_is_not_sent():
    outbox = Outbox(10)
    first, second = call(1), call(2)
    outbox.put(first)
    outbox.put(second)
    first.place = Place.ENDED
    assert sequences(outbox.next_frame(0.0)) == [2]


async def test_a_lost_stream_repeats_the_same_bytes_before_anything_newer():
    outbox = Outbox(2)
    calls = [call(sequence) for sequence in range(3)]
    for each in calls:
        outbox.put(each)
    before = outbox.next_frame(0.0)
    outbox.take_back([each for each in calls if each.place is Place.SENT])
    assert outbox.next_frame(1.0) == before
    assert calls[0].sent_at == 1.0

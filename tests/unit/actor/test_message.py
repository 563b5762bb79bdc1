import asyncio
import gc

import pytest

import pulsing as pul
from pulsing import Message, StreamMessage
from pulsing.testing import pulsing_system


def test_a_message_has_a_type_and_a_payload():
    message = Message("Ping", b"123")
    assert (message.msg_type, message.payload, message.is_stream) == ("Ping", b"123", False)
    assert message == Message("Ping", b"123") != Message("Pong", b"123")
    assert repr(message) == "Message('Ping', b'123')"


def test_json_survives_a_round_trip():
    data = {"n": 1, "text": "ü", "list": [1, None]}
    message = Message.from_json("Data", data)
    assert isinstance(message.payload, bytes)
    assert message.to_json() == data
    assert Message("Data", data).to_json() == data
    assert Message("Data", memoryview(b"[1]")).to_json() == [1]
    with pytest.raises(ValueError, match="Expecting"):
        Message("Data", b"no json").to_json()


def test_a_plain_message_is_no_stream():
    with pytest.raises(TypeError, match="not a stream"):
        Message("Ping").stream_reader()


async def test_chunks_arrive_in_order_until_closed():
    message, writer = StreamMessage.create("Tokens")

    async def write():
        async with writer:
            for number in range(100):
                await writer.write(number)

    writing = asyncio.create_task(write())
    assert message.is_stream
    assert [chunk async for chunk in message.stream_reader()] == list(range(100))
    await writing


async def test_the_writer_waits_when_the_reader_is_a_buffer_behind():
    message, writer = StreamMessage.create("Tokens", buffer_size=3)
    for number in range(3):
        await writer.write(number)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await writer.write(3)
    reader = message.stream_reader()
    assert await anext(reader) == 0
    await writer.write(3)
    await writer.close()
    assert [chunk async for chunk in reader] == [1, 2, 3]


async def test_an_error_arrives_after_what_was_written():
    message, writer = StreamMessage.create("Tokens")
    await writer.write(1)
    await writer.error("out of tokens")
    reader = message.stream_reader()
    assert await anext(reader) == 1
    with pytest.raises(pul.PulsingActorError, match="out of tokens"):
        await anext(reader)
    with pytest.raises(StopAsyncIteration):
        await anext(reader)


async def test_nothing_can_be_written_after_the_end():
    _, writer = StreamMessage.create("Tokens")
    await writer.close()
    await writer.close()
    with pytest.raises(pul.PulsingRuntimeError, match="closed"):
        await writer.write(1)


async def test_a_reader_that_leaves_stops_the_writer():
    message, writer = StreamMessage.create("Tokens", buffer_size=1)
    reader = message.stream_reader()
    await writer.write(1)
    writing = asyncio.create_task(writer.write(2))
    await asyncio.sleep(0)
    del reader
    gc.collect()
    with pytest.raises(pul.PulsingRuntimeError, match="reader of the stream is gone"):
        await writing


def test_a_stream_is_read_once_and_needs_room():
    message, _ = StreamMessage.create("Tokens")
    message.stream_reader()
    with pytest.raises(pul.PulsingRuntimeError, match="read once"):
        message.stream_reader()
    with pytest.raises(ValueError, match="buffer_size"):
        StreamMessage.create("Tokens", buffer_size=0)


class Service(pul.Actor):
    def __init__(self):
        self.seen = []

    async def receive(self, msg):
        if msg.is_stream:
            return [chunk async for chunk in msg.stream_reader()]
        if msg.msg_type == "Stream":
            answer, writer = StreamMessage.create("Numbers", buffer_size=2)

            async def write():
                async with writer:
                    for number in range(msg.to_json()["n"]):
                        await writer.write(number)

            self.writing = asyncio.create_task(write())
            return answer
        self.seen.append(msg.msg_type)
        return Message.from_json("Seen", self.seen)


async def test_an_actor_receives_messages_and_answers_with_messages_and_streams():
    async with pulsing_system():
        ref = await pul.spawn(Service(), name="service")
        assert isinstance(ref, pul.ActorRef)
        await ref.tell(Message("First"))
        answer = await ref.ask(Message("Second"))
        assert answer.to_json() == ["First", "Second"]
        stream = await ref.ask(Message.from_json("Stream", {"n": 5}))
        assert stream.msg_type == "Numbers"
        assert [chunk async for chunk in stream.stream_reader()] == [0, 1, 2, 3, 4]
        message, writer = StreamMessage.create("In")
        asking = asyncio.ensure_future(ref.ask(message))
        async with writer:
            await writer.write("a")
            await writer.write("b")
        assert await asking == ["a", "b"]

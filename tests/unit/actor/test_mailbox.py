import asyncio

import pytest

from pulsing.actor.mailbox import Admission, OnFull, admission
from pulsing.errors import Delivery, MailboxFull


@pytest.mark.parametrize(
    ("on_full", "patient", "parked", "expected"),
    [
        (OnFull.WAIT, True, 0, Admission.PARK),
        (OnFull.WAIT, True, 10_000, Admission.PARK),
        (OnFull.WAIT, False, 0, Admission.PARK),
        (OnFull.WAIT, False, 7, Admission.PARK),
        (OnFull.WAIT, False, 8, Admission.REJECT),
        (OnFull.REJECT, True, 0, Admission.REJECT),
        (OnFull.REJECT, False, 0, Admission.REJECT),
        (OnFull.DROP_OLDEST, True, 0, Admission.DROP_OLDEST),
        (OnFull.DROP_OLDEST, False, 9, Admission.DROP_OLDEST),
        (OnFull.DROP_NEWEST, True, 0, Admission.DROP_NEWEST),
        (OnFull.DROP_NEWEST, False, 9, Admission.DROP_NEWEST),
    ],
)
def test_the_policy_is_a_table(on_full, patient, parked, expected):
    assert admission(on_full, patient=patient, parked=parked, mailbox_size=8) is expected


class Gate:
    def __init__(self):
        self.open = asyncio.Event()
        self.seen = []

    async def take(self, number):
        await self.open.wait()
        self.seen.append(number)
        return number


async def test_a_full_mailbox_rejects_when_told_to(runtime):
    async with runtime() as r:
        gate = Gate()
        actor = await r.spawn(gate, max_concurrency=1, mailbox_size=2, on_full=OnFull.REJECT)
        asks = [asyncio.create_task(actor.take(0))]
        await asyncio.sleep(0.01)
        asks += [asyncio.create_task(actor.take(n)) for n in (1, 2)]
        await asyncio.sleep(0.01)
        assert actor.cell.queued == 2
        with pytest.raises(MailboxFull, match=r"thing.*2 messages") as caught:
            await actor.take(9)
        assert caught.value.delivered is Delivery.NO
        with pytest.raises(MailboxFull):
            await actor.take.tell(9)
        gate.open.set()
        assert await asyncio.gather(*asks) == [0, 1, 2]
        assert await actor.take(3) == 3


async def test_senders_wait_in_order_for_room(runtime, until):
    async with runtime() as r:
        gate = Gate()
        actor = await r.spawn(gate, max_concurrency=1, mailbox_size=2)
        asks = [asyncio.create_task(actor.take(n)) for n in range(20)]
        await asyncio.sleep(0.01)
        assert actor.cell.queued == 19
        gate.open.set()
        assert await asyncio.gather(*asks) == list(range(20))
        assert gate.seen == list(range(20))
        assert actor.cell.mailbox is None
        assert actor.cell.parked is None


async def test_a_tell_is_done_when_the_mailbox_took_it(runtime, until):
    async with runtime() as r:
        gate = Gate()
        actor = await r.spawn(gate, max_concurrency=1, mailbox_size=2)
        first = asyncio.create_task(actor.take(0))
        await asyncio.sleep(0.01)
        await actor.take.tell(1)
        await actor.take.tell(2)

        async def tell(number):
            await actor.take.tell(number)

        third = asyncio.create_task(tell(3))
        await asyncio.sleep(0.01)
        assert not third.done()
        gate.open.set()
        await third
        await first
        await until(lambda: gate.seen == [0, 1, 2, 3])


async def test_tells_that_nobody_awaits_are_bounded_counted_and_logged_once(runtime, until, caplog):
    async with runtime() as r:
        gate = Gate()
        actor = await r.spawn(gate, max_concurrency=1, mailbox_size=5)
        first = asyncio.create_task(actor.take(0))
        await asyncio.sleep(0.01)
        for number in range(1, 100):
            actor.take.tell(number)
        assert actor.cell.queued == 10
        await until(lambda: r.dispatcher.counters.lost_tells == 89)
        assert len([each for each in caplog.records if "thing.take" in each.message]) == 1
        gate.open.set()
        await first
        await until(lambda: gate.seen == list(range(11)))


async def test_withdrawn_messages_take_no_room(runtime):
    async with runtime() as r:
        gate = Gate()
        actor = await r.spawn(gate, max_concurrency=1, mailbox_size=3, on_full=OnFull.REJECT)
        first = asyncio.create_task(actor.take(0))
        await asyncio.sleep(0.01)
        for _ in range(10):
            waiting = [asyncio.create_task(actor.take(7)) for _ in range(3)]
            await asyncio.sleep(0)
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        assert actor.cell.queued == 0
        second = asyncio.create_task(actor.take(1))
        gate.open.set()
        assert await asyncio.gather(first, second) == [0, 1]
        assert gate.seen == [0, 1]
        assert actor.cell.withdrawn == 0


async def test_a_parked_sender_that_gives_up_is_forgotten(runtime, until):
    async with runtime() as r:
        gate = Gate()
        actor = await r.spawn(gate, max_concurrency=1, mailbox_size=1)
        asks = [asyncio.create_task(actor.take(n)) for n in range(4)]
        await asyncio.sleep(0.01)
        asks[2].cancel()
        await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(*asks, return_exceptions=True)
        assert gate.seen == [0, 1, 3]
        assert actor.cell.queued == 0

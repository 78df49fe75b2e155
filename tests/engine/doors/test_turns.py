"""Whoever has much to do gives way in every turn, to others with much to do and to everyone else."""

import asyncio

from assay.engine.doors.turns import Turns


def test_portions_of_work_alternate_and_others_run_in_between() -> None:
    done: list[str] = []

    async def much(name: str, turns: Turns) -> None:
        for _ in range(20):
            await turns.next()
            done.append(name)

    async def little() -> None:
        while done.count("a") + done.count("b") < 40:
            done.append(".")
            await asyncio.sleep(0)

    async def scenario() -> None:
        turns = Turns()
        await asyncio.gather(much("a", turns), much("b", turns), little())

    asyncio.run(scenario())
    text = "".join(done)
    assert "aa" not in text.replace(".", "")
    assert "bb" not in text.replace(".", "")
    assert "ab" not in text
    assert "ba" not in text


def test_who_leaves_the_line_holds_nobody_up() -> None:
    async def scenario() -> None:
        turns = Turns()
        waiting = [asyncio.create_task(turns.next()) for _ in range(5)]
        await asyncio.sleep(0)
        for task in waiting[:4]:
            task.cancel()
        async with asyncio.timeout(5):
            await waiting[4]

    asyncio.run(scenario())

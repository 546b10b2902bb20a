"""Give a voice agent of OpenAI's Realtime API a body: forward its server events to a running AvatarGPT."""

import asyncio
import json

import numpy as np
import websockets


async def give_body(events, url, show):
    """Forward events until they end; `show` takes each message, and its frames (T, C) or None."""
    async with websockets.connect(url, max_size=None) as body:

        async def forward():
            async for event in events:
                await body.send(event.to_json(indent=None))

        forwarding = asyncio.create_task(forward())
        async for message in body:
            about, rows = json.loads(message), None
            if about["type"] == "frames":
                rows = np.frombuffer(await body.recv(), "<f4").reshape(about["frames"], -1)
            show(about, rows)
            if about["type"] == "done" and forwarding.done():
                break


async def main():
    from openai import AsyncOpenAI

    async with AsyncOpenAI().realtime.connect(model="gpt-realtime") as agent:  # beside your own use of its sound
        await give_body(agent, "ws://127.0.0.1:8765/v1/realtime", print)


if __name__ == "__main__":
    asyncio.run(main())

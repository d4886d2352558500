"""The bare consumer: aio-pika, a GET of the object by aiohttp (unsigned, connections kept), then the acknowledgement.
Run by the peers' python: consumer.py URL QUEUE ENDPOINT|- PREFETCH. With - nothing is fetched."""

import asyncio
import json
import sys

import aio_pika
import aiohttp
import uvloop


async def main(url: str, name: str, endpoint: str, prefetch: int) -> None:
    """Consume until killed."""
    connection = await aio_pika.connect(url)
    channel = await connection.channel(publisher_confirms=False)
    await channel.set_qos(prefetch_count=prefetch)
    queue = await channel.get_queue(name, ensure=False)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=32)) as session:

        async def one(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            about = json.loads(message.body)["Records"][0]["s3"]
            if endpoint != "-":
                key = about["object"]["key"]
                async with session.get(f"{endpoint}/{about['bucket']['name']}/{key}") as answer:
                    body = await answer.read()
                    if answer.status != 200 or len(body) != about["object"]["size"]:
                        raise SystemExit(f"{answer.status}, {len(body)} bytes")
            await message.ack()

        await queue.consume(one)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))

"""Runs in xoscar's own environment: an actor in an in-process pool, driven by lines on standard input.

xoscar sees no crash of an actor within a process: a restart is what its user writes instead, the actor destroyed,
created anew and asked for its first answer.
"""

import asyncio
import json
import sys
import time

import xoscar


class Echo(xoscar.Actor):
    async def echo(self, message):
        return message


async def main():
    pool = await xoscar.create_actor_pool("127.0.0.1:0", n_process=0)
    address = pool.external_address
    async with pool:
        actor = await xoscar.create_actor(Echo, address=address, uid="echo")
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            what, count = line.split()
            if what == "restart":
                taken = []
                for _ in range(int(count)):
                    begun = time.perf_counter()
                    await xoscar.destroy_actor(actor)
                    actor = await xoscar.create_actor(Echo, address=address, uid="echo")
                    await actor.echo("first")
                    taken.append((time.perf_counter() - begun) * 1e6)
                found = taken
            else:
                begun = time.perf_counter()
                for number in range(int(count)):
                    await actor.echo.tell(number)
                await actor.echo("last")
                found = int(count) / (time.perf_counter() - begun)
            print(json.dumps(found), flush=True)


asyncio.run(main())

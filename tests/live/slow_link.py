"""A line of so many bytes a second to a port: python -m tests.live.slow_link PORT TO_PORT BYTES_PER_S"""

from __future__ import annotations

import asyncio
import sys
import time

from tests.live.programs import LOOPBACK

PIECE = 32_768


class Line:
    """What one direction of all connections shares."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_s = 0.0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(PIECE):
                self._free_s = max(self._free_s, time.monotonic()) + len(piece) / self._bytes_per_s
                await asyncio.sleep(self._free_s - time.monotonic())
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()


async def main(port: int, to_port: int, bytes_per_s: float) -> None:
    up, down = Line(bytes_per_s), Line(bytes_per_s)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(LOOPBACK, to_port)
        await asyncio.gather(up.carry(reader, there_writer), down.carry(there_reader, writer))

    server = await asyncio.start_server(serve, LOOPBACK, port)
    print("carrying", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))

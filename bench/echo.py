"""The floor of `bench.irc`: the least that answers ``!echo`` in a channel, on plain asyncio.

``python -m bench.echo PORT CHANNEL``; it takes every line of a channel for well formed.
"""

import asyncio
import sys


class Echo(asyncio.Protocol):
    """A connection that answers, and knows nothing else."""

    def __init__(self, channel: str) -> None:
        """Speak in *channel*."""
        self._channel = channel.encode()
        self._tail = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.write(b"NICK omnibot\r\nUSER omnibot 0 * :omnibot\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer each line of *data* by itself."""
        *lines, self._tail = (self._tail + data).split(b"\r\n")
        for line in lines:
            source, _, rest = line.partition(b" ")
            command, _, params = rest.partition(b" ")
            if source == b"PING":
                self._transport.write(b"PONG " + rest + b"\r\n")
            elif command == b"PRIVMSG":
                text = params.partition(b" :")[2]
                if text.startswith(b"!echo "):
                    nick = source[1:].partition(b"!")[0]
                    self._transport.write(b"PRIVMSG %b :%b: %b\r\n" % (self._channel, nick, text[6:]))
            elif command in (b"376", b"422"):
                self._transport.write(b"JOIN " + self._channel + b"\r\n")


async def main(port: int, channel: str) -> None:
    """Answer until killed."""
    await asyncio.get_running_loop().create_connection(lambda: Echo(channel), "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))

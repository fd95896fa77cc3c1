"""Files that the bot shows: given to the homeserver to keep, encrypted where the room is.

In an encrypted room the homeserver learns neither name nor kind (client-server API, "Sending encrypted
attachments").
"""

from nio.client.async_client import AsyncClient
from nio.crypto.attachments import encrypt_attachment

from adapters.matrix.answers import MatrixError, give
from adapters.matrix.speech import Content
from omnibot.markup import printable
from omnibot.message import File

_UPLOAD = "/_matrix/media/v3/upload"


async def uploaded(client: AsyncClient, file: File, *, encrypted: bool) -> Content:
    """Give *file* to the homeserver; return the content of the event that shows it.

    Raises:
        Refused, MatrixError: the homeserver does not take it: it may be too large.
        OSError, TimeoutError: it does not answer.
    """
    name = printable(file.name)[:200].strip() or "file"
    content: Content = {
        "msgtype": "m.image" if file.is_picture else "m.file",
        "body": name,
        "filename": name,
        "info": {"mimetype": file.kind, "size": len(file.data)},
        "m.mentions": {},
    }
    if not encrypted:
        return content | {"url": await _upload(client, file.data, file.kind)}
    sealed, keys = encrypt_attachment(file.data)
    return content | {"file": {"url": await _upload(client, sealed, "application/octet-stream"), **keys}}


async def _upload(client: AsyncClient, data: bytes, kind: str) -> str:
    said = await give(client, "POST", _UPLOAD, data, kind)
    address = said.get("content_uri") if isinstance(said, dict) else None
    if not isinstance(address, str):
        raise MatrixError("", "the answer to an upload has no address")
    return address

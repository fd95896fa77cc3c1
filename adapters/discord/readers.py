"""Who can read a channel, as Discord says at this moment.

Nothing is taken from what discord.py remembers: somebody may have left, or lost a role, a second ago.
"""

from typing import Any, Final

import discord
from discord import Permissions

from adapters.discord.answers import FAILURES

_DM: Final = 1
_PRIVATE_THREAD: Final = 12
_THREADS: Final = (10, 11, 12)
_VOICE: Final = (2, 13)


async def can_read(client: discord.Client, user: int, channel: int) -> bool:
    """Return whether *user* can read *channel*; False wherever that cannot be told."""
    try:
        return await _can_read(client, user, channel)
    except (*FAILURES, KeyError, TypeError):  # a payload that is not as it should be tells nothing either
        return False


async def _can_read(client: discord.Client, user: int, channel: int) -> bool:
    place: dict[str, Any] = dict(await client.http.get_channel(channel))
    if place["type"] == _DM:
        return any(int(reader["id"]) == user for reader in place["recipients"])
    guild, seen = int(place["guild_id"]), place
    member = await client.http.get_member(guild, user)
    if place["type"] in _THREADS:
        if place["type"] == _PRIVATE_THREAD:
            await client.http.get_thread_member(channel, user)  # who is not in it is not found
        seen = dict(await client.http.get_channel(int(place["parent_id"])))
    allowed = _allowed(dict(await client.http.get_guild(guild, with_counts=False)), dict(member), seen, user)
    return allowed.view_channel and (seen["type"] not in _VOICE or allowed.connect)


def _allowed(guild: dict[str, Any], member: dict[str, Any], channel: dict[str, Any], user: int) -> Permissions:
    """Return what *member* of *guild* may do in *channel* (API documentation, "Permission Overwrites")."""
    if int(guild["owner_id"]) == user:
        return Permissions.all()
    everyone = str(guild["id"])
    roles = {everyone, *map(str, member["roles"])}
    allowed = Permissions(0)
    for role in guild["roles"]:
        if str(role["id"]) in roles:
            allowed.value |= int(role["permissions"])
    if allowed.administrator:
        return Permissions.all()
    overwrites = {str(one["id"]): one for one in channel["permission_overwrites"]}
    for names in ([everyone], sorted(roles - {everyone}), [str(user)]):
        of_these = [overwrites[name] for name in names if name in overwrites]
        for one in of_these:
            allowed.value &= ~int(one["deny"])
        for one in of_these:
            allowed.value |= int(one["allow"])
    return allowed

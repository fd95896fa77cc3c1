"""omnibot: the chat bot that acts as you.

What a skill's or an adapter's author may import stands here; everything else is the
bot's own and may change.
"""

from omnibot.api import AccountView, Api, Response
from omnibot.desk import IdentityView, RecordView
from omnibot.errors import NoPrivateWay, NotDelivered, NotLinked, Refused, Upstream, UserError
from omnibot.follower import FollowContext, Follower, FollowView, Progress, QuietView
from omnibot.identity import Assurance, Guest, Identity, Speaker
from omnibot.markup import code, code_block, escape, fmt, link
from omnibot.message import Channel, File, Form, Link, Message, Origin, Private, Reply, Sent
from omnibot.skill import Context, LinkedContext, Skill

__version__ = "0.1.0"

__all__ = [
    "AccountView",
    "Api",
    "Assurance",
    "Channel",
    "Context",
    "File",
    "FollowContext",
    "FollowView",
    "Follower",
    "Form",
    "Guest",
    "Identity",
    "IdentityView",
    "Link",
    "LinkedContext",
    "Message",
    "NoPrivateWay",
    "NotDelivered",
    "NotLinked",
    "Origin",
    "Private",
    "Progress",
    "QuietView",
    "RecordView",
    "Refused",
    "Reply",
    "Response",
    "Sent",
    "Skill",
    "Speaker",
    "Upstream",
    "UserError",
    "__version__",
    "code",
    "code_block",
    "escape",
    "fmt",
    "link",
]

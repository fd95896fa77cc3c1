"""What every test may use: the real servers, and the choice of tests by row or by sabotage."""

from hypothesis import settings

pytest_plugins = (
    "pytester",
    "sabotage",
    "servers.processes",
    "servers.faults",
    "servers.redmine.server",
    "servers.jupyterhub.server",
    "servers.homeassistant.server",
    "servers.oauth1.server",
    "servers.irc.server",
    "servers.synapse.server",
    "servers.synapse.person",
    "servers.discord.server",
    "servers.discord.people",
    "servers.aws.server",
)

settings.register_profile("omnibot", deadline=None)  # a busy machine is no fault of an example's
settings.load_profile("omnibot")

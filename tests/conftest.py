"""What every test may use: the real servers, and the choice of tests by row or by sabotage."""

pytest_plugins = ("pytester", "sabotage", "servers.processes")

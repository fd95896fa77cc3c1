"""What is said of a server at JupyterHub; the rest is seen at a real one (tests/journeys/test_jupyterhub.py)."""

import pytest

from skills.jupyterhub import _words


@pytest.mark.parametrize(
    ("api", "path", "page"),
    [
        ("https://hub.example/hub/api/", "/user/ada/", "https://hub.example/user/ada/"),
        ("https://example.org/jupyter/hub/api/", "/jupyter/user/ada/", "https://example.org/jupyter/user/ada/"),
        ("https://hub.example/hub/api/", "https://ada.hub.example/user/ada/", "https://ada.hub.example/user/ada/"),
    ],
)
def test_a_server_is_found_wherever_the_hub_is(api: str, path: str, page: str) -> None:
    """The hub tells its path from the root of the host on, its own base in it; or, with subdomains, the whole."""
    said = _words(api, {"ready": True, "pending": None, "url": path})

    assert f"Your server is ready: [open it]({page})." == said

"""Make the pictures under docs/images: the pages that people meet, by day and by night, and the demo.

Everything on them is the real thing: ``omnibot demo`` and ``omnibot run`` as processes of their own, their pages in
Chromium.  Run it in a clone after ``make setup servers``: ``.venv/bin/python tools/screenshots.py``.
"""

import base64
import re
import shutil
import sys
import tempfile
from html import escape
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from omnibot.ports import free_port  # noqa: E402
from terminals import ENTER, Session, finished  # noqa: E402 - it is found by the line above

IMAGES = ROOT / "docs" / "images"
LARGEST = 150_000
"""Bytes of one picture; all of them together may have four times that."""

_LINK = r"http://127\.0\.0\.1:\d+/l/[\w-]+"

_BY_KEY = """\
public_url: http://127.0.0.1:{port}
listen: 127.0.0.1:{port}
networks:
  console: {{adapter: console, user: ada}}
providers:
  redmine: {{base: "https://redmine.example.org"}}
skills: [accounts, following, help, ping, redmine]
"""

_TERMINAL = """\
<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: Canvas; color: CanvasText; color-scheme: light dark; }}
pre {{ margin: 0; padding: 20px 24px; font: 14px/1.5 "DejaVu Sans Mono", monospace; white-space: pre-wrap; }}
b {{ color: light-dark(#0b5a3c, #7fd6ae); }} i {{ opacity: .7; }}
</style><pre>{lines}</pre>
"""


def main() -> None:
    """Make them all anew."""
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        _linking(browser, Path(scratch))
        _key_form(browser, Path(scratch))
        _demo(browser, Path(scratch))
        browser.close()
    sizes = [path.stat().st_size for path in IMAGES.glob("*.webp")]
    if max(sizes) > LARGEST or sum(sizes) > 4 * LARGEST:
        sys.exit(f"They are too large: {sum(sizes)} bytes, the largest {max(sizes)}.")


def _linking(browser: Browser, folder: Path) -> None:
    """The way of a link in the demo: who asks for what, the code, and what is seen when the code was said."""
    with Session("demo", folder=folder, terminal=True) as bot:
        bot.wait("visitor>")
        page = _page(browser)
        page.goto(_said(bot, "!notes", _LINK))
        _shoot(page, "ask")
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Ada").click()
        page.get_by_role("button", name="Allow").click()
        page.wait_for_url("**/f/*")
        _shoot(page, "code")
        _said(bot, f"!confirm {page.locator('.code').inner_text()}", "You have no notes")
        page.reload()
        _shoot(page, "linked")


def _key_form(browser: Browser, folder: Path) -> None:
    """The page of a service that people link by a key of theirs."""
    (folder / "config.yaml").write_text(_BY_KEY.format(port=free_port()), "utf-8")
    finished("keys", "new", folder=folder)
    with Session("run", folder=folder, terminal=True) as bot:
        bot.wait("ada>")
        page = _page(browser)
        page.goto(_said(bot, "!link redmine", _LINK))
        page.get_by_role("button", name="Continue").click()
        page.locator("[type=password]").wait_for()
        _shoot(page, "key")


def _demo(browser: Browser, folder: Path) -> None:
    """The beginning of what the demo plays when nobody is there, up to what needed more rights."""
    played = finished("demo", "--script", folder=folder).stdout
    until = played.index("you> !notes\n", played.index("is written as"))
    lines = [escape(line) for line in played[:until].rstrip().splitlines()]
    shown = [re.sub(r"^(\w+&gt; )(.*)", r"\1<b>\2</b>", re.sub(r"^( +\(.*)", r"<i>\1</i>", line)) for line in lines]
    page = _page(browser, width=860)
    page.set_content(_TERMINAL.format(lines="\n".join(shown)))
    _shoot(page, "demo")


def _page(browser: Browser, width: int = 460) -> Page:
    page = browser.new_context(viewport={"width": width, "height": 200}).new_page()
    page.set_default_timeout(10_000)
    return page


def _said(bot: Session, line: str, expected: str) -> str:
    """Say *line* and return what of the answer is *expected*, however the terminal broke it."""
    bot.type(line + ENTER)
    return bot.wait(expected)[0]


def _shoot(page: Page, name: str) -> None:
    """Take *page* by day and by night, all of its length."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        height = page.evaluate("document.documentElement.offsetHeight")
        page.set_viewport_size({"width": page.evaluate("innerWidth"), "height": height})
        devtools = page.context.new_cdp_session(page)
        taken = devtools.send("Page.captureScreenshot", {"format": "webp", "quality": 80})
        (IMAGES / f"{name}-{scheme}.webp").write_bytes(base64.b64decode(taken["data"]))


if __name__ == "__main__":
    main()

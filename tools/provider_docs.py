"""Write docs/providers.md, of the catalogue as it is now."""

from pathlib import Path

from omnibot.catalogue import SHIPPED, load_catalogue
from omnibot.showing import page

Path("docs/providers.md").write_text(page(load_catalogue(SHIPPED)), encoding="utf-8")

"""The search shows the place of a public name before the pages that mention it, and `sample` before `SamplerState`."""

import json
import re
from pathlib import Path
from typing import Any

PUBLIC = re.compile(r"^reference/.*#hype_\w+\.(\w+)$")


def on_post_build(config: Any, **_: Any) -> None:
    """Gives each public name of the index a weight, larger for a shorter name: a query finds what it begins."""
    path = Path(config.site_dir) / "search" / "search_index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    for entry in index["docs"]:
        if found := PUBLIC.match(entry["location"]):
            entry["boost"] = 1000 / max(3, len(found[1])) ** 2
    path.write_text(json.dumps(index, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")

"""What the wheel has besides the package: man pages and completions, made from the documentation and the options."""

import io
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHELLS = {
    "bash": "share/bash-completion/completions/jollyae",
    "zsh": "share/zsh/site-functions/_jollyae",
    "fish": "share/fish/vendor_completions.d/jollyae.fish",
}


class CustomBuildHook(BuildHookInterface[Any]):
    """Makes them in build/, from where they go into the wheel's data."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel is written; an editable install has none of it."""
        if version == "editable":
            return
        root = Path(self.root)
        sys.path[:0] = [str(root / "src"), str(root)]
        from jollyae.cli import main
        from tools import manual

        made = root / "build" / "share"
        files = {f"share/man/man1/{name}": text for name, text in manual.pages(self.metadata.version).items()}
        for shell, path in SHELLS.items():
            with redirect_stdout(io.StringIO()) as said:
                main.run(["completion", shell])
            files[path] = said.getvalue()
        for path, text in files.items():
            target = made / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            build_data["shared_data"][str(target)] = path

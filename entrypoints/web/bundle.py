"""What Vite made of `assets/`: the script and the sheets of each kind of page, and the files themselves."""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "static"
MANIFEST: Final = "manifest.json"
ADDRESS: Final = "/static/"
_TYPES: Final = {".js": "text/javascript", ".css": "text/css"}
_OTHER: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Entry:
    """The addresses of one kind of page's script and of the sheets that it looks like."""

    script: str
    styles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class File:
    """One built file, as it is and packed with gzip."""

    media_type: str
    content: bytes
    packed: bytes


class Bundle:
    """Reads the manifest of a folder, and reads it again when it was built anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._built_at = 0
        self._manifest: dict[str, dict[str, Any]] = {}
        self._names: frozenset[str] = frozenset()
        self._files: dict[str, File] = {}

    def entry(self, name: str) -> Entry | None:
        """Return the entry `name`, or `None` when nothing was built."""
        self._look()
        chunk = self._manifest.get(f"src/{name}.ts")
        if chunk is None:
            return None
        return Entry(ADDRESS + chunk["file"], tuple(ADDRESS + sheet for sheet in self._sheets(chunk)))

    def file(self, name: str) -> File | None:
        """Return the file `name`, or `None` when the manifest knows none of that name."""
        self._look()
        if name not in self._names:
            return None
        if name not in self._files:
            content = (self._folder / name).read_bytes()
            media_type = _TYPES.get(Path(name).suffix, _OTHER)
            self._files[name] = File(media_type, content, gzip.compress(content, mtime=0))
        return self._files[name]

    def _look(self) -> None:
        try:
            built_at = (self._folder / MANIFEST).stat().st_mtime_ns
        except FileNotFoundError:
            built_at = 0
        if built_at == self._built_at:
            return
        self._manifest = json.loads((self._folder / MANIFEST).read_bytes()) if built_at else {}
        self._names = frozenset(name for chunk in self._manifest.values() for name in (chunk["file"], *chunk.get("css", ())))
        self._files = {}
        self._built_at = built_at

    def _sheets(self, chunk: dict[str, Any]) -> list[str]:
        """Return the sheets of a chunk and of what it imports, each once, those of what is imported first."""
        found: dict[str, None] = {}
        for imported in chunk.get("imports", ()):
            found.update(dict.fromkeys(self._sheets(self._manifest[imported])))
        found.update(dict.fromkeys(chunk.get("css", ())))
        return list(found)

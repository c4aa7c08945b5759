"""What reading one file may take."""

from dataclasses import dataclass

REFUSED = 3
"""The exit status of a reader that wrote down why it refuses the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsingLimits:
    """Seconds by the clock and of the processor, bytes of memory, characters of text, pages."""

    seconds: float = 120.0
    memory_bytes: int = 2 * 1024**3
    characters: int = 10_000_000
    pages: int = 5_000

    def arguments(self) -> tuple[str, ...]:
        """Return them as the reader's arguments."""
        return (str(max(int(self.seconds), 1)), str(self.memory_bytes), str(self.characters), str(self.pages))

    @classmethod
    def of_arguments(cls, seconds: str, memory_bytes: str, characters: str, pages: str) -> "ParsingLimits":
        """Return what `arguments` said."""
        return cls(seconds=int(seconds), memory_bytes=int(memory_bytes), characters=int(characters), pages=int(pages))

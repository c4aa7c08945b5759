"""Money as integer minor units and an ISO 4217 currency."""

from dataclasses import dataclass

_CURRENCY_CODE_LENGTH = 3


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount in minor units (cents for EUR) of one currency.

    Raises `ValueError` for a currency that is not three capital letters, or when amounts of two currencies meet.
    """

    amount: int
    currency: str

    def __post_init__(self) -> None:
        if len(self.currency) != _CURRENCY_CODE_LENGTH or not self.currency.isalpha() or not self.currency.isupper():
            raise ValueError(f"currency must be an ISO 4217 code such as EUR, not {self.currency!r}")

    def __add__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same_currency(other)
        return Money(self.amount - other.amount, self.currency)

    def __mul__(self, quantity: int) -> "Money":
        return Money(self.amount * quantity, self.currency)

    def _same_currency(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise ValueError(f"cannot combine {self.currency} with {other.currency}")

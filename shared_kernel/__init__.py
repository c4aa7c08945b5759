"""What every context speaks: clock, identifiers, money, errors, events, pagination, tenancy.

Imports the standard library only.
"""

"""The processes behind the API: consumers of events, the relay that feeds them, and the scheduler."""

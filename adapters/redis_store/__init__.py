"""Redis or Valkey: rate limits, the log of turn events, wake-ups. Nothing here is the only copy of anything."""

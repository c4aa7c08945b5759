"""Pages of the web, fetched without reaching anything that is not public."""

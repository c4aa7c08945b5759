"""What `luneo up` runs by itself: Postgres, Valkey and the vector server, as supervised child processes below one folder."""

"""Files scanned by ClamAV."""

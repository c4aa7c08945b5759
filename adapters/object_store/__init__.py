"""Where objects are kept: a folder of this machine, or a store that speaks S3."""

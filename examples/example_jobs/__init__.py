"""Jobs that do real work: files.checksum and image.resize."""

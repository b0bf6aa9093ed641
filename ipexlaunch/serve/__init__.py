"""One pinned server on each slice, and one endpoint in front of them that an existing proxy keeps."""

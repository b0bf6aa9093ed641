"""What every command's options are, take, need, exclude, read and write."""

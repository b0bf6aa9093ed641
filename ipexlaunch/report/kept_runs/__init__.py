"""Keeps runs in directories, and reads them back: the only package that knows the names of the files in one."""

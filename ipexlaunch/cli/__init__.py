"""The command line: parse, call, print. The one place where errors become exit codes."""

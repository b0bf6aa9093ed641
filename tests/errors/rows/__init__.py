"""The table: for each part of the package the ways to its errors, and where those are shown that no row can provoke."""

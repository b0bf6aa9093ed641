"""What stands between a host and full speed: facts are read (`read`), pure checks judge them."""

"""Several hosts as one run: who belongs to it, one start, one rate that is true."""

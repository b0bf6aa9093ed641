"""What is fastest here, found by measuring: settings, and the numbers that models calculate with."""

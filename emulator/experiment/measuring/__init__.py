"""How a case is measured: a module for each measurement, and what all of them share."""

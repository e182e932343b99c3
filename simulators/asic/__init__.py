"""The physical model of ASIC miners, vectorised over the fleet."""

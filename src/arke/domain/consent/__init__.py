"""Reads what browsers and consent managers say a visitor allows: TC strings, GPP strings, US privacy strings."""

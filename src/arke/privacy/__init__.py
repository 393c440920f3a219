"""Requests of people about their data: taken, carried through, proven, and what is kept about somebody."""

"""The tables and figures of the papers, made anew from trained networks: numbers, CSV and plots."""

"""The tables and figures of the papers, reproduced with trained networks: numbers, CSV and plots."""

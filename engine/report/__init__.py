"""What people see of outcomes: lines of text, JSON and CSV, and the HTML page."""

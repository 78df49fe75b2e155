"""What gives a data set away besides its content: format, size, compression."""

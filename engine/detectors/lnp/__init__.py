"""The noise-pattern face detector and the views of faces that it takes."""

"""The `fusing` kind from the trainers' side: its training data, its training, and writing it as a bundle."""

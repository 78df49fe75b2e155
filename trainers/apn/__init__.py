"""The `apn` kind from the trainers' side: its losses, its training, and writing it as a bundle."""

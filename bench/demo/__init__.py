"""The demo: a stream of real images through a real broker and the shipped detector, which stops by itself."""

"""Load for an engine or a server, and what it does under it: `assay bench`.

    images -> target (gRPC, Kafka, folder) <- loop (open or closed) -> samples -> result -> text, JSON, page

Open loop: images arrive at random (Poisson) whatever the server does, and latency counts from the moment at
which an image was to be sent, so that a stall is felt by all that arrive in it (no coordinated omission).
Closed loop: a fixed number of images is under way, which finds the most that a server gives.
"""

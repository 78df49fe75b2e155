"""The messages of the Open Inference Protocol, in a pool of descriptors of their own."""

from google.protobuf.descriptor_pool import DescriptorPool

POOL = DescriptorPool()

"""TinyDiT: network, flow matching, sampler."""

"""`make bench`: how fast the bridge is, beside the queues people would use instead, and the floor."""

"""Who is measured: the bridge, two well-known queues, and scripts that show what is possible at all."""

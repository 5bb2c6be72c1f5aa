"""What the time of upstreams costs, and whose it is: work, weights, prices and the bill."""

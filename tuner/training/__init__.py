"""Training of a trial: the protocol, the random streams, and the engines that follow them."""

"""One trial: the protocol, the random streams, and the engines that train by them."""

"""Angle-based shrinking of a search space (ABS, Hu et al. 2020), for gates and for other spaces.

A supernet holds the weights of every operator that a cell can have, and trains them on a new random
cell at every update. The angle through which the weights of a cell have turned then ranks it:
operators whose cells turn least are dropped. Source: *Angle-based Search Space Shrinking for Neural
Architecture Search*, https://arxiv.org/abs/2004.13431.
"""

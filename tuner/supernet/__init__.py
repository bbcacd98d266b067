"""Angle-based shrinking of a search space (ABS, Hu et al. 2020), of gates and of spaces of others.

A supernet holds the weights of every operator that a cell can have, and trains them for a cell
drawn anew at every update. How far the weights of a cell have turned then ranks it: operators whose
cells turn least are dropped. Source: *Angle-based Search Space Shrinking for Neural Architecture
Search*, https://arxiv.org/abs/2004.13431.
"""

"""The exported computation: a network of the zoo as the functions behind its signatures."""

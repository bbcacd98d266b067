"""The exported computation: functions for the signatures of a network of the zoo."""

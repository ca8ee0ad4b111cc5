"""From a data set to a model version: trunk, features, head, calibration, evaluation."""

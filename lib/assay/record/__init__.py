"""What a measured number is: a metric, its files, its tolerance and its tier. Nothing here knows pytest or a model."""

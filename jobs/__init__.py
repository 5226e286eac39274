"""When things run, how often and on which machine: jobs, the sensor, the command line. The composition root."""

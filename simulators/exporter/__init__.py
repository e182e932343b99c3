"""The simulated fleet as a page of metrics, in the names of the exporters that run beside real devices."""
